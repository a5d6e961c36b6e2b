//! Writes files atomically: beside their destination, then renamed over it, so that they are complete or not there at all.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::ReportError;

/// Writes `bytes` to `path`, replacing an existing file; a reader sees the previous file or the new one, never a part.
///
/// # Errors
/// [`ReportError::Write`] names `path` and the reason; no temporary file is left behind.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    write_with(path, |out| out.write_all(bytes).map_err(ReportError::write(path)))
}

/// Like [`write()`], for streamed contents: `fill` writes them.
///
/// # Errors
/// What `fill` returns, or [`ReportError::Write`]; no temporary file is left behind.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".candor-").suffix(".tmp");
    // A temporary file is private by default; the result is an ordinary file, so the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));

    let temporary = builder.tempfile_in(folder_of(path)).map_err(ReportError::write(path))?;
    let mut out = BufWriter::new(temporary);
    fill(&mut out)?;
    let temporary = out.into_inner().map_err(|e| ReportError::write(path)(e.into_error()))?;
    temporary.persist(path).map_err(|e| ReportError::write(path)(e.error))?;
    Ok(())
}

/// Checks that a file can be written to `path`: its folder exists and is writable. To be called before long work.
///
/// # Errors
/// As [`write()`].
pub fn writable(path: &Path) -> Result<(), ReportError> {
    tempfile::Builder::new()
        .prefix(".candor-")
        .tempfile_in(folder_of(path))
        .map_err(ReportError::write(path))?;
    Ok(())
}

/// The path that is written for `path`: itself or, if it is a link, the file that the link points to, so that the link stays.
///
/// # Errors
/// [`ReportError::Write`] for a dangling link.
pub fn behind(path: &Path) -> Result<PathBuf, ReportError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => path.canonicalize().map_err(|e| {
            let reason = io::Error::new(e.kind(), "it is a link that leads nowhere");
            ReportError::write(path)(reason)
        }),
        _ => Ok(path.to_owned()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |out| {
            out.write_all(b"half").map_err(ReportError::write(&path))?;
            Err(ReportError::write(&path)(io::Error::other("disk full")))
        });
        assert!(failed.unwrap_err().to_string().ends_with("a.txt: disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn files_have_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
        write(&ours, b"").unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        writable(&dir.path().join("new.txt")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(writable(&dir.path().join("missing/new.txt")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_its_file_is_written() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("below")).unwrap();
        std::fs::write(at("below/file.txt"), "old").unwrap();
        symlink("below/file.txt", at("link")).unwrap();
        write(&behind(&at("link")).unwrap(), b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read(at("below/file.txt")).unwrap(), b"new");
        assert_eq!(behind(&at("missing")).unwrap(), at("missing"));
        symlink("nowhere", at("dangling")).unwrap();
        let error = behind(&at("dangling")).unwrap_err().to_string();
        assert!(error.ends_with("dangling: it is a link that leads nowhere"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = write(Path::new("no/such/directory/a.txt"), b"").unwrap_err().to_string();
        assert!(error.starts_with("cannot write no/such/directory/a.txt: "), "{error}");
    }
}
