//! Finding ONNX Runtime's shared library: by name, by ORT_DYLIB_PATH, or inside an installed Python package.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Environment variable that names the library; the convention of the `ort` crate.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The library to load: `named` if given, else what [`VARIABLE`] names, else the one of an installed `onnxruntime` Python
/// package (of the active virtual environment, or of `python3` on the path).
///
/// # Errors
/// Where the library was looked for, and what to do.
pub fn find(named: Option<&Path>) -> Result<PathBuf, String> {
    let variable = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    let told = named.map(|p| (p.to_path_buf(), "the path given")).or(variable.map(|p| (p, VARIABLE)));
    if let Some((path, source)) = told {
        let inside =
            if path.is_dir() { in_directory(&path) } else { Some(path.clone()).filter(|p| p.is_file()) };
        return inside.ok_or_else(|| format!("{source} names {}, where no library is", path.display()));
    }
    let environment = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let environments = environment.iter().flat_map(|root| site_packages(root));
    let found = environments.chain(python_packages()).find_map(|p| in_directory(&p.join("onnxruntime/capi")));
    found.ok_or_else(|| {
        format!(
            "its library was not found; run `pip install onnxruntime`, or name libonnxruntime with --onnxruntime FILE or {VARIABLE}"
        )
    })
}

/// The library in a folder: `libonnxruntime.so.1.20.0`, `libonnxruntime.1.20.0.dylib` or `onnxruntime.dll`; of several, the
/// last in alphabetical order.
fn in_directory(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| is_library(&name.to_string_lossy())))
        .collect();
    found.sort();
    found.pop()
}

fn is_library(name: &str) -> bool {
    let unix = |n: &str| n.starts_with(".so") || n.ends_with(".dylib");
    name == "onnxruntime.dll" || name.strip_prefix("libonnxruntime").is_some_and(unix)
}

/// `lib/python3.*/site-packages` below the root of a virtual environment.
fn site_packages(root: &Path) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    let unix = versions.map(|v| v.path().join("site-packages"));
    unix.chain([root.join("Lib/site-packages")]).filter(|p| p.is_dir()).collect()
}

/// The longest that is waited for an answer of `python3`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where `python3` looks for packages.
fn python_packages() -> Vec<PathBuf> {
    let program = "import sys; print('\\n'.join(sys.path))";
    let Some(said) = ["python3", "python"].into_iter().find_map(|name| answer(name, program)) else {
        return vec![];
    };
    said.lines().filter(|l| !l.is_empty()).map(PathBuf::from).collect()
}

/// What a Python program prints; `None` if it fails, or has not ended within [`PATIENCE`].
fn answer(python: &str, program: &str) -> Option<String> {
    let mut command = Command::new(python);
    command.args(["-c", program]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                // It is of no use any more, whether it can be ended or not.
                drop(child.kill());
                drop(child.wait());
                return None;
            }
        }
    }
    let mut said = vec![];
    child.stdout.take()?.take(1 << 20).read_to_end(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// The version in a library's name, as in `libonnxruntime.so.1.20.0`.
pub fn version_of(library: &Path) -> Option<String> {
    let name = library.file_name()?.to_string_lossy().into_owned();
    let from = name.find(|c: char| c.is_ascii_digit())?;
    let version: String = name[from..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_end_matches('.');
    (version.split('.').count() >= 2).then(|| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_names_and_so_are_their_versions() {
        for name in [
            "libonnxruntime.so.1.20.0",
            "libonnxruntime.1.20.0.dylib",
            "libonnxruntime.so",
            "onnxruntime.dll",
        ] {
            assert!(is_library(name), "{name}");
        }
        for name in ["libonnxruntime_providers_shared.so", "libonnx.so", "onnxruntime.py"] {
            assert!(!is_library(name), "{name}");
        }
        let version = |n: &str| version_of(Path::new(n));
        assert_eq!(version("/x/libonnxruntime.so.1.20.0").as_deref(), Some("1.20.0"));
        assert_eq!(version("libonnxruntime.1.20.1.dylib").as_deref(), Some("1.20.1"));
        assert_eq!(version("libonnxruntime.so"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_python_that_does_not_end_is_not_waited_for() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let python = |name: &str, script: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            answer(path.to_str().unwrap(), "")
        };
        assert_eq!(python("good", "echo /a; echo /b").as_deref(), Some("/a\n/b\n"));
        assert_eq!(python("fails", "echo /a; exit 3"), None);
        assert_eq!(python("hangs", "exec sleep 60"), None);
    }

    #[test]
    fn a_folder_is_searched_and_a_path_that_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so.1.20.0");
        std::fs::write(&library, b"").unwrap();
        std::fs::write(folder.path().join("libonnxruntime_providers_shared.so"), b"").unwrap();
        assert_eq!(find(Some(folder.path())).unwrap(), library);
        assert_eq!(find(Some(&library)).unwrap(), library);
        let error = find(Some(&folder.path().join("none.so"))).unwrap_err();
        assert!(error.contains("none.so"), "{error}");
    }
}
