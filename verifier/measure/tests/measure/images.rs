//! Firmware and PE images, made field by field.

/// Where the tests' firmware has its descriptors, before its end.
const SEV_FROM_END: u32 = 0x600;
const TDX_FROM_END: u32 = 0x400;
const TABLE_FROM_END: usize = 32;

pub(crate) const GUID_FOOTER: &str = "96b582de-1fb2-45f7-baea-a366c55a082d";
pub(crate) const GUID_SEV: &str = "dc886566-984a-4798-a75e-5585a7bf67cc";
pub(crate) const GUID_HASHES: &str = "7255371f-3a3b-4b04-927b-1da6efa8d454";
pub(crate) const GUID_RESET: &str = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
pub(crate) const GUID_TDX: &str = "e47a6535-984a-4798-865e-4685a7bf8ec2";

/// As a GUID stands in an image: its first three numbers in little-endian order.
pub(crate) fn guid(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let mut bytes = base16ct::lower::decode_vec(digits).unwrap();
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// What a firmware says about itself.
#[derive(Debug, Clone)]
pub(crate) struct FirmwareDraft {
    pub(crate) pages: usize,
    pub(crate) fill: u8,
    /// Address, length, type.
    pub(crate) sev: Vec<(u32, u32, u32)>,
    pub(crate) hashes_at: u32,
    pub(crate) reset: u32,
    /// Data's offset and length, address, length, type, attributes.
    pub(crate) tdx: Vec<(u32, u32, u64, u64, u32, u32)>,
}

impl Default for FirmwareDraft {
    fn default() -> Self {
        Self {
            pages: 4,
            fill: 0x5a,
            sev: vec![
                (0x80_0000, 0x3000, 1),
                (0x80_d000, 0x1000, 2),
                (0x80_e000, 0x1000, 3),
                (0x80_f000, 0x1000, 4),
                (0x81_0000, 0x1000, 0x10),
                (0x81_1000, 0x2000, 1),
            ],
            hashes_at: 0x81_0c00,
            reset: 0x80_b004,
            tdx: vec![
                (0x1000, 0x3000, 0xffff_d000, 0x3000, 0, 1),
                (0, 0x1000, 0xffff_c000, 0x1000, 1, 0),
                (0, 0, 0x81_0000, 0x2000, 3, 0),
                (0, 0, 0x80_9000, 0x2000, 2, 0),
            ],
        }
    }
}

impl FirmwareDraft {
    pub(crate) fn image(&self) -> Vec<u8> {
        let len = self.pages * 4096;
        let mut image = vec![self.fill; len];
        // Pages that differ, so that their order shows.
        for (index, page) in image.chunks_mut(4096).enumerate() {
            page[0] = u8::try_from(index % 251).unwrap();
        }
        put(&mut image, SEV_FROM_END, &self.sev_descriptor());
        put(&mut image, TDX_FROM_END, &self.tdx_descriptor());
        let mut hashes = self.hashes_at.to_le_bytes().to_vec();
        hashes.extend(0x400u32.to_le_bytes());
        let table = table(&[
            (GUID_TDX, &TDX_FROM_END.to_le_bytes()),
            (GUID_SEV, &SEV_FROM_END.to_le_bytes()),
            (GUID_HASHES, &hashes),
            (GUID_RESET, &self.reset.to_le_bytes()),
        ]);
        let at = len - TABLE_FROM_END - table.len();
        image[at..at + table.len()].copy_from_slice(&table);
        image
    }

    fn sev_descriptor(&self) -> Vec<u8> {
        let mut bytes = descriptor(b"ASEV", 12, self.sev.len());
        for (address, len, kind) in &self.sev {
            for number in [address, len, kind] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes
    }

    fn tdx_descriptor(&self) -> Vec<u8> {
        let mut bytes = descriptor(b"TDVF", 32, self.tdx.len());
        for (at, data_len, address, len, kind, attributes) in &self.tdx {
            bytes.extend(at.to_le_bytes());
            bytes.extend(data_len.to_le_bytes());
            bytes.extend(address.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(attributes.to_le_bytes());
        }
        bytes
    }
}

fn descriptor(signature: &[u8; 4], section_len: usize, count: usize) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    for number in [16 + section_len * count, 1, count] {
        bytes.extend(u32::try_from(number).unwrap().to_le_bytes());
    }
    bytes
}

fn put(image: &mut [u8], from_end: u32, bytes: &[u8]) {
    let at = image.len() - usize::try_from(from_end).unwrap();
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Entries that are named after their data, and the footer that has the length of all.
pub(crate) fn table(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut table = Vec::new();
    let close = |table: &mut Vec<u8>, len: usize, name: &str| {
        table.extend(u16::try_from(len).unwrap().to_le_bytes());
        table.extend(guid(name));
    };
    for (name, data) in entries {
        table.extend_from_slice(data);
        close(&mut table, data.len() + 18, name);
    }
    let whole = table.len() + 18;
    close(&mut table, whole, GUID_FOOTER);
    table
}

/// A PE32+ image.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeDraft {
    /// Name, contents, and how much longer than them it is in memory.
    pub(crate) sections: Vec<(&'static str, Vec<u8>, usize)>,
    pub(crate) checksum: u32,
    /// After the sections.
    pub(crate) tail: Vec<u8>,
    pub(crate) certificates: Vec<u8>,
}

/// Headers are of this length, and sections begin on multiples of it.
const ALIGNMENT: usize = 512;

impl PeDraft {
    pub(crate) fn of(sections: &[(&'static str, &[u8])]) -> Self {
        let sections = sections
            .iter()
            .map(|(name, data)| (*name, data.to_vec(), 0));
        Self {
            sections: sections.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        let headers_len = (0x40 + 24 + 240 + 40 * self.sections.len()).next_multiple_of(ALIGNMENT);
        let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let mut bodies: Vec<u8> = Vec::new();
        let mut headers: Vec<u8> = Vec::new();
        for (name, data, longer) in &self.sections {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(8, 0);
            headers.extend(padded);
            headers.extend(word(data.len() + longer));
            headers.extend(word(0x1000));
            let file_len = data.len().next_multiple_of(ALIGNMENT);
            headers.extend(word(file_len));
            headers.extend(word(headers_len + bodies.len()));
            headers.extend([0; 16]);
            bodies.extend(data);
            // What pads the file is not zero, so that it shows where it is measured.
            bodies.resize(bodies.len() + file_len - data.len(), 0xee);
        }
        let certificates_at = headers_len + bodies.len() + self.tail.len();

        let mut image = b"MZ".to_vec();
        image.resize(0x3c, 0);
        image.extend(word(0x40));
        image.extend(b"PE\0\0");
        image.extend(0x8664u16.to_le_bytes());
        image.extend(u16::try_from(self.sections.len()).unwrap().to_le_bytes());
        image.extend([0; 12]);
        image.extend(240u16.to_le_bytes());
        image.extend([0; 2]);
        let optional_at = image.len();
        image.extend(0x20bu16.to_le_bytes());
        image.resize(optional_at + 60, 0x11);
        image.extend(word(headers_len));
        image.extend(self.checksum.to_le_bytes());
        image.resize(optional_at + 108, 0x22);
        image.extend(word(16));
        image.resize(optional_at + 112 + 4 * 8, 0);
        if self.certificates.is_empty() {
            image.extend([0; 8]);
        } else {
            image.extend(word(certificates_at));
            image.extend(word(self.certificates.len()));
        }
        image.resize(optional_at + 240, 0);
        image.extend(headers);
        image.resize(headers_len, 0);
        image.extend(bodies);
        image.extend(&self.tail);
        image.extend(&self.certificates);
        image
    }
}

/// Lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}
