//! DICOM files for tests, written byte by byte (PS3.5, 7.1; PS3.10, 7), so that the reader is not tested against its own library.

/// How the elements after the file meta information are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Implicit VR, little endian.
    Implicit,
    /// Explicit VR, little endian.
    Explicit,
    /// Explicit, with the pixel data in one fragment, in the transfer syntax with that UID.
    Encapsulated(&'static str),
}

/// A DICOM file: elements by group and number, with their value representation and bytes.
#[derive(Clone, Debug)]
pub struct DicomFile {
    syntax: Syntax,
    elements: Vec<(u16, u16, &'static str, Vec<u8>)>,
}

impl DicomFile {
    /// One grey frame of `width` × `height` 16-bit samples, of which `stored` bits are used; MONOCHROME2.
    pub fn grey(syntax: Syntax, (width, height): (u16, u16), stored: u16, samples: &[i32]) -> Self {
        let signed = samples.iter().any(|&v| v < 0);
        let bytes = samples.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect();
        DicomFile { syntax, elements: vec![] }
            .with(0x0008, 0x0060, "CS", "CR")
            .with(0x0028, 0x0004, "CS", "MONOCHROME2")
            .with_number(0x0028, 0x0002, 1)
            .with_number(0x0028, 0x0010, height)
            .with_number(0x0028, 0x0011, width)
            .with_number(0x0028, 0x0100, 16)
            .with_number(0x0028, 0x0101, stored)
            .with_number(0x0028, 0x0102, stored - 1)
            .with_number(0x0028, 0x0103, u16::from(signed))
            .with_bytes(0x7FE0, 0x0010, "OW", bytes)
    }

    /// The same with 8 bits per sample.
    pub fn grey8(syntax: Syntax, size: (u16, u16), samples: &[u8]) -> Self {
        let mut bytes = samples.to_vec();
        bytes.resize(samples.len().next_multiple_of(2), 0);
        DicomFile::grey(syntax, size, 8, &[])
            .with_number(0x0028, 0x0100, 8)
            .with_bytes(0x7FE0, 0x0010, "OW", bytes)
    }

    /// Adds a text element, or replaces the one with the same number.
    #[must_use]
    pub fn with(self, group: u16, number: u16, vr: &'static str, text: &str) -> Self {
        self.with_bytes(group, number, vr, text.as_bytes().to_vec())
    }

    /// Adds an element with one unsigned 16-bit number.
    #[must_use]
    pub fn with_number(self, group: u16, number: u16, value: u16) -> Self {
        self.with_bytes(group, number, "US", value.to_le_bytes().to_vec())
    }

    /// Adds an element of bytes, padded to an even length.
    #[must_use]
    pub fn with_bytes(mut self, group: u16, number: u16, vr: &'static str, mut bytes: Vec<u8>) -> Self {
        if bytes.len() % 2 == 1 {
            bytes.push(b' ');
        }
        self = self.without(group, number);
        self.elements.push((group, number, vr, bytes));
        self.elements.sort_by_key(|&(group, number, ..)| (group, number));
        self
    }

    /// Adds a window.
    #[must_use]
    pub fn with_window(self, centre: &str, width: &str) -> Self {
        self.with(0x0028, 0x1050, "DS", centre).with(0x0028, 0x1051, "DS", width)
    }

    /// Adds a rescale slope and intercept.
    #[must_use]
    pub fn with_rescale(self, slope: &str, intercept: &str) -> Self {
        self.with(0x0028, 0x1052, "DS", intercept).with(0x0028, 0x1053, "DS", slope)
    }

    /// Removes the element with that number.
    #[must_use]
    pub fn without(mut self, group: u16, number: u16) -> Self {
        self.elements.retain(|&(g, n, ..)| (g, n) != (group, number));
        self
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let uid = match self.syntax {
            Syntax::Implicit => "1.2.840.10008.1.2",
            Syntax::Explicit => "1.2.840.10008.1.2.1",
            Syntax::Encapsulated(uid) => uid,
        };
        let text = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            bytes
        };
        let mut meta = vec![];
        element(&mut meta, true, (0x0002, 0x0001, "OB", &[0, 1]));
        element(&mut meta, true, (0x0002, 0x0002, "UI", &text("1.2.840.10008.5.1.4.1.1.1")));
        element(&mut meta, true, (0x0002, 0x0003, "UI", &text("1.2.3.4")));
        element(&mut meta, true, (0x0002, 0x0010, "UI", &text(uid)));
        element(&mut meta, true, (0x0002, 0x0012, "UI", &text("1.2.3.5")));
        let mut file = vec![0; 128];
        file.extend(b"DICM");
        element(&mut file, true, (0x0002, 0x0000, "UL", &(meta.len() as u32).to_le_bytes()));
        file.extend(meta);
        for (group, number, vr, bytes) in &self.elements {
            let pixels = (*group, *number) == (0x7FE0, 0x0010);
            match self.syntax {
                Syntax::Encapsulated(_) if pixels => encapsulated(&mut file, bytes),
                syntax => element(&mut file, syntax != Syntax::Implicit, (*group, *number, vr, bytes)),
            }
        }
        file
    }
}

fn element(file: &mut Vec<u8>, explicit: bool, (group, number, vr, bytes): (u16, u16, &str, &[u8])) {
    file.extend(group.to_le_bytes());
    file.extend(number.to_le_bytes());
    let length = bytes.len() as u32;
    match (explicit, vr) {
        (false, _) => file.extend(length.to_le_bytes()),
        (true, "OB" | "OW" | "SQ" | "UN") => {
            file.extend(vr.as_bytes());
            file.extend([0, 0]);
            file.extend(length.to_le_bytes());
        }
        (true, _) => {
            file.extend(vr.as_bytes());
            file.extend((length as u16).to_le_bytes());
        }
    }
    file.extend(bytes);
}

/// An empty offset table and one fragment (PS3.5, A.4).
fn encapsulated(file: &mut Vec<u8>, bytes: &[u8]) {
    file.extend([0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    file.extend([0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0]);
    file.extend([0xFE, 0xFF, 0x00, 0xE0]);
    file.extend((bytes.len() as u32).to_le_bytes());
    file.extend(bytes);
    file.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
}
