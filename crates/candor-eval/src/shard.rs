//! A fixed part of a run's work, so that several machines can share a run: unit `i` of the work belongs to shard `i mod N`, whichever
//! machine does it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum number of shards of a run.
pub const MOST: usize = 1_000_000;

/// One of `count` parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Its number, from 1.
    number: usize,
    count: usize,
}

impl Shard {
    /// Its number, from 1.
    pub fn number(self) -> usize {
        self.number
    }

    /// Number of shards of the run.
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether a unit of the work, numbered from 0, belongs to this shard.
    pub fn owns(self, unit: usize) -> bool {
        unit % self.count == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((number, count)) if (1..=count).contains(&number) && count <= MOST => {
                Ok(Shard { number, count })
            }
            _ => Err(format!("must be I/N, as 2/4, with I from 1 to N and N at most {MOST}")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_of_one_shard() {
        let shards: Vec<Shard> = (1..=3).map(|i| format!("{i}/3").parse().unwrap()).collect();
        for unit in 0..20 {
            assert_eq!(shards.iter().filter(|s| s.owns(unit)).count(), 1, "{unit}");
        }
        assert!(shards[0].owns(0) && shards[1].owns(1) && shards[0].owns(3));
        assert!("1/1".parse::<Shard>().unwrap().owns(7));
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in
            ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1/1000001", "1/99999999999999999999"]
        {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        let shard: Shard = serde_json::from_str("\"2/4\"").unwrap();
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"2/4\"");
    }
}
