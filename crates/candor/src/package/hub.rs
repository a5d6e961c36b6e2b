//! Models in the local cache of the Hugging Face hub. Nothing is downloaded.

use std::fs;
use std::path::{Path, PathBuf};

use super::PackageError;

/// Prefix of a name on the hub.
pub(super) const SCHEME: &str = "hf://";

/// What `hf://OWNER/NAME[@REVISION][/FILE]` refers to: a snapshot's folder, or a file in it. `variable` reads the environment.
pub(super) fn resolve(
    name: &str,
    variable: impl Fn(&str) -> Option<PathBuf>,
) -> Result<PathBuf, PackageError> {
    let wrong = || PackageError::HubName { name: name.to_string() };
    let parts: Vec<&str> = name.strip_prefix(SCHEME).ok_or_else(wrong)?.splitn(3, '/').collect();
    let (owner, repository, file) = match parts[..] {
        [owner, repository] => (owner, repository, None),
        [owner, repository, file] => (owner, repository, Some(file).filter(|f| !f.is_empty())),
        _ => return Err(wrong()),
    };
    let (repository, revision) = repository.split_once('@').unwrap_or((repository, "main"));
    // The path must not lead out of the cache.
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':']);
    let inside = file.is_none_or(|f| f.split('/').all(plain));
    if ![owner, repository, revision].into_iter().all(plain) || !inside {
        return Err(wrong());
    }
    let cache = cache(&variable);
    let folder = cache.join(format!("models--{owner}--{repository}"));
    let snapshot = snapshot(&folder, revision).map(|s| file.map_or(s.clone(), |f| s.join(f)));
    snapshot.filter(|path| path.exists()).ok_or_else(|| {
        let at = if revision == "main" { String::new() } else { format!(" --revision {revision}") };
        let what = file.map_or(r#"--include "*.json" "*.onnx*""#.to_string(), str::to_string);
        let command = format!("hf download {owner}/{repository} {what}{at}");
        PackageError::NotCached { name: name.to_string(), cache, command }
    })
}

/// The cache folder of the hub's Python library.
fn cache(variable: &impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let home = || variable("HOME").or_else(|| variable("USERPROFILE")).unwrap_or_default();
    let in_home = || variable("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("huggingface");
    variable("HF_HUB_CACHE")
        .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
        .unwrap_or_else(|| variable("HF_HOME").unwrap_or_else(in_home).join("hub"))
}

/// The snapshot of a revision: the commit that a branch or tag points to, or a commit itself.
fn snapshot(folder: &Path, revision: &str) -> Option<PathBuf> {
    let of = |commit: &str| Some(folder.join("snapshots").join(commit)).filter(|path| path.is_dir());
    let pointed = fs::read_to_string(folder.join("refs").join(revision)).ok();
    pointed.and_then(|commit| of(commit.trim())).or_else(|| of(revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_the_cache_is_found_and_what_is_not_there_is_said_how_to_get() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("hub/models--me--dogs");
        let snapshot = folder.join("snapshots/abc123");
        fs::create_dir_all(snapshot.join("onnx")).unwrap();
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), "abc123\n").unwrap();
        fs::write(snapshot.join("onnx/model.onnx"), "").unwrap();
        let variable = |key: &str| (key == "HF_HOME").then(|| home.path().to_path_buf());
        let found = |name: &str| resolve(name, variable);
        assert_eq!(found("hf://me/dogs").unwrap(), snapshot);
        assert_eq!(found("hf://me/dogs@abc123").unwrap(), snapshot);
        assert_eq!(found("hf://me/dogs@main/onnx/model.onnx").unwrap(), snapshot.join("onnx/model.onnx"));
        let error = |name: &str| found(name).unwrap_err().to_string();
        let missing = error("hf://me/dogs@v2");
        assert!(
            missing.ends_with(r#"Run: hf download me/dogs --include "*.json" "*.onnx*" --revision v2"#),
            "{missing}"
        );
        assert!(missing.contains(&home.path().join("hub").display().to_string()), "{missing}");
        assert!(error("hf://you/cats/model.onnx").ends_with("Run: hf download you/cats model.onnx"));
        for wrong in ["hf://dogs", "hf:///dogs", "hf://me/dogs/../../x", "hf://../dogs", "hf://me/dogs@"] {
            assert!(error(wrong).contains("is not hf://OWNER/NAME"), "{wrong}");
        }
    }

    #[test]
    fn the_cache_is_where_the_python_library_has_it() {
        let of = |known: &[(&str, &str)]| {
            cache(&|key: &str| known.iter().find(|(k, _)| *k == key).map(|(_, v)| PathBuf::from(v)))
        };
        assert_eq!(of(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), Path::new("/c/huggingface/hub"));
        assert_eq!(of(&[("HOME", "/h"), ("HF_HOME", "/f")]), Path::new("/f/hub"));
        assert_eq!(of(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/x")]), Path::new("/x"));
    }
}
