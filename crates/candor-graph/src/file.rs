//! Reads regular files of limited size. Reading a pipe, a device or a socket may block for ever or never end.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// Opens a regular file of at most `most` bytes.
///
/// # Errors
/// The system's; [`ErrorKind::IsADirectory`]; [`ErrorKind::InvalidInput`] if it is not a regular file; [`ErrorKind::FileTooLarge`].
pub fn open(path: &Path, most: u64) -> Result<File> {
    // Opening a pipe would block until something writes to it, so check the kind of file first.
    is_regular(path)?;
    let file = File::open(path)?;
    if file.metadata()?.len() > most {
        return Err(too_large(most));
    }
    Ok(file)
}

/// Checks that there is a regular file at `path`, or a link to one.
///
/// # Errors
/// As [`open`].
pub fn is_regular(path: &Path) -> Result<()> {
    let kind = path.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Error::new(ErrorKind::IsADirectory, "is a directory, not a file"));
    }
    if !kind.is_file() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "is no regular file, but a pipe, a device or a socket",
        ));
    }
    Ok(())
}

/// The bytes of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open(path, most)?;
    let mut bytes = vec![];
    // The size is only a hint: the file may be growing.
    let size = file.metadata().map_or(0, |m| m.len()).min(most);
    bytes.try_reserve_exact(size as usize).map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large(most));
    }
    Ok(bytes)
}

/// The text of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open`]; [`ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let no_text = |_| Error::new(ErrorKind::InvalidData, "is no text in UTF-8");
    String::from_utf8(read(path, most)?).map_err(no_text)
}

fn too_large(most: u64) -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("is larger than {} MiB", most >> 20))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        assert_eq!(read(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(dir.path(), 9).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read(&dir.path().join("b"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&path, [0xFF]).unwrap();
        assert_eq!(read_text(&path, 9).unwrap_err().kind(), ErrorKind::InvalidData);
        let device = Path::new("/dev/zero");
        if device.exists() {
            assert_eq!(read(device, 9).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
