//! DICOM files for tests, written byte by byte (PS3.5, 7.1; PS3.10, 7), so that the reader is not tested against its own library.

/// How the elements after the file meta information are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Implicit VR, little endian.
    Implicit,
    /// Explicit VR, little endian.
    Explicit,
    /// Explicit VR, big endian.
    BigEndian,
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

    /// With a VOI table: the entry of `first` and of what is below it, then one for each sample; `bits` of an entry count.
    #[must_use]
    pub fn with_table(self, first: u16, bits: u16, entries: &[u16]) -> Self {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let mut item = vec![];
        let explicit = self.syntax != Syntax::Implicit;
        let descriptor = words(&[entries.len() as u16, first, bits]);
        element(&mut item, explicit, (0x0028, 0x3002, "US", &descriptor));
        element(&mut item, explicit, (0x0028, 0x3006, "OW", &words(entries)));
        let mut sequence = vec![0xFE, 0xFF, 0x00, 0xE0];
        sequence.extend((item.len() as u32).to_le_bytes());
        sequence.extend(item);
        self.with_bytes(0x0028, 0x3010, "SQ", sequence)
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
            Syntax::BigEndian => "1.2.840.10008.1.2.2",
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
                Syntax::BigEndian => big_endian(&mut file, (*group, *number, vr, bytes)),
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

/// The words of numbers and of pixels have their high byte first, too.
fn big_endian(file: &mut Vec<u8>, (group, number, vr, bytes): (u16, u16, &str, &[u8])) {
    file.extend(group.to_be_bytes());
    file.extend(number.to_be_bytes());
    file.extend(vr.as_bytes());
    let words = matches!(vr, "US" | "OW");
    if vr == "OW" {
        file.extend([0, 0]);
        file.extend((bytes.len() as u32).to_be_bytes());
    } else {
        file.extend((bytes.len() as u16).to_be_bytes());
    }
    match words {
        true => file.extend(bytes.chunks(2).flat_map(|word| [word[1], word[0]])),
        false => file.extend(bytes),
    }
}

/// Samples of 16 bits as RLE (PS3.5, G): the high bytes, then the low ones, each run length encoded.
pub fn rle(samples: &[i32]) -> Vec<u8> {
    let plane = |shift: u32| {
        let bytes: Vec<u8> = samples.iter().map(|v| (v >> shift) as u8).collect();
        let mut packed = vec![];
        for run in bytes.chunk_by(|a, b| a == b).flat_map(|same| same.chunks(128)) {
            match run.len() {
                1 => packed.extend([0, run[0]]),
                length => packed.extend([(257 - length) as u8, run[0]]),
            }
        }
        packed.resize(packed.len().next_multiple_of(2), 0);
        packed
    };
    let (high, low) = (plane(8), plane(0));
    let mut words = [0u32; 16];
    words[..3].copy_from_slice(&[2, 64, 64 + high.len() as u32]);
    words.iter().flat_map(|word| word.to_le_bytes()).chain(high).chain(low).collect()
}

/// Grey samples as lossless JPEG (ITU-T T.81, H): each as its difference from the one before, which DICOM's process 14 takes.
pub fn lossless_jpeg((width, height): (u16, u16), bits: u8, samples: &[i32]) -> Vec<u8> {
    let [[w0, w1], [h0, h1]] = [width.to_be_bytes(), height.to_be_bytes()];
    let mut file = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 11, bits, h0, h1, w0, w1, 1, 1, 0x11, 0];
    // The 17 lengths of a difference have codes of five bits.
    file.extend([0xFF, 0xC4, 0, 19 + 17, 0]);
    file.extend((1..=16).map(|length| if length == 5 { 17 } else { 0 }));
    file.extend(0..17);
    file.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 0, 0]);
    let mut coded: Vec<bool> = vec![];
    let mut put = |value: u32, count: u32| coded.extend((0..count).rev().map(|i| value >> i & 1 == 1));
    let wide = usize::from(width);
    for (i, &sample) in samples.iter().enumerate() {
        let expected = match i {
            0 => 1 << (bits - 1),
            i if i % wide == 0 => samples[i - wide],
            i => samples[i - 1],
        };
        let difference = sample - expected;
        let length = 32 - difference.unsigned_abs().leading_zeros();
        put(length, 5);
        put(if difference < 0 { (difference - 1) as u32 } else { difference as u32 }, length);
    }
    coded.resize(coded.len().next_multiple_of(8), true);
    for byte in coded.chunks(8).map(|bits| bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit))) {
        file.push(byte);
        file.extend((byte == 0xFF).then_some(0));
    }
    file.extend([0xFF, 0xD9]);
    file
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
