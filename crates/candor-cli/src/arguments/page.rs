//! Arguments of `candor page`.

use std::path::PathBuf;

use candor::parameters::key_value;
use clap::Args;

use super::{ForceArgs, ModelArgs, OpenArgs};

#[derive(Args)]
#[command(after_help = "\
The page is a folder of static files, for any web server, under any path. It explains photos in the browser as `candor explain` does, the \
reliable mask step by step, other methods with the graphs that `candor export` writes: no photo leaves the device. It needs ONNX Runtime for the browser, which npm brings and nothing here downloads. When it \
opens, the page computes a photo whose answers are known, and says so if the browser computes anything else.

A server must be used, as browsers refuse to run such a page from a file. With the headers Cross-Origin-Opener-Policy: same-origin and \
Cross-Origin-Embedder-Policy: require-corp, which --serve sends, it uses several threads.

Examples:
  npm install onnxruntime-web                                          # once
  candor page --demo --out page-demo                                   # the embedded model
  candor page model.onnx --out page --samples photos/00000[0-2].png    # your own")]
pub struct PageArgs {
    /// ONNX file of an image classifier; a folder that holds one; or hf://OWNER/NAME, from the local cache
    #[arg(required_unless_present = "demo")]
    pub model: Option<PathBuf>,
    /// The embedded model and its pictures instead of a model
    #[arg(long, conflicts_with_all = ["model", "preset", "labels", "sidecar", "model_output", "size"])]
    pub demo: bool,
    /// Folder to write
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
    /// Methods to choose from on the page (those that `candor export` takes); the first two are chosen when it opens
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "reliable,grad-cam")]
    pub methods: Vec<String>,
    /// Parameter of a method: METHOD.KEY=VALUE, or KEY=VALUE for all that have it (see `candor methods`)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Photos to begin with, copied into the folder
    #[arg(long, value_name = "PHOTO", num_args = 1..)]
    pub samples: Vec<PathBuf>,
    /// The folder `dist` of the npm package onnxruntime-web [default: node_modules/onnxruntime-web/dist here or in a folder above]
    #[arg(long, value_name = "DIR")]
    pub runtime: Option<PathBuf>,
    /// Let the page compute maps that take no search on a GPU (WebGPU), where the browser has one and computes what Candor does: 27 MB more
    #[arg(long)]
    pub webgpu: bool,
    /// Serve the folder on localhost when it is written, on this port or on any free one, until Ctrl-C
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0")]
    pub serve: Option<u16>,
    #[command(flatten)]
    pub opened: OpenArgs,
    #[command(flatten)]
    pub force: ForceArgs,
}

impl PageArgs {
    /// The model as other commands take it; none for the embedded one.
    pub fn model(&self) -> Option<ModelArgs> {
        Some(ModelArgs { model: self.model.clone()?, opened: self.opened.clone() })
    }
}
