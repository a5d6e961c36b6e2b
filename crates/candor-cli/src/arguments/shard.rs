//! `--shard` and `candor merge`.

use std::path::PathBuf;

use candor_eval::shard::Shard;
use clap::Args;

use super::ForceArgs;

/// A part of the work.
#[derive(Args, Clone, Copy)]
pub struct ShardArgs {
    /// Do only part I of N of the work, the same on any machine; `candor merge` joins the parts
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

#[derive(Args)]
#[command(after_help = "\
Each part is a run of the same command with its own --shard and --out. The result is that of the command without --shard, to the \
byte but for seconds: merge puts the parts together and lets the command finish, so run it where the command was run, with the model \
and the photos in their places. A part that is missing, duplicated or unfinished is named; the parts stay as they are.

Examples:
  candor explain model.onnx photos/00000?.png --class top1 --class fish --shard 1/2 --out part1
  candor explain model.onnx photos/00000?.png --class top1 --class fish --shard 2/2 --out part2
  candor merge part1 part2 --out joined")]
pub struct MergeArgs {
    /// The folders of all parts, in any order
    #[arg(required = true, value_name = "OUT")]
    pub parts: Vec<PathBuf>,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}
