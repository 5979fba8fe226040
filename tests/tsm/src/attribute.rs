//! The files of a request.

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Provider,
    Generation,
    Inblob,
    Outblob,
    Auxblob,
    Privlevel,
    PrivlevelFloor,
}

impl Attribute {
    /// Those that every provider has, and those of SEV-SNP.
    pub(crate) fn all(has_privlevel: bool) -> &'static [Self] {
        const ALL: [Attribute; 7] = [
            Attribute::Provider,
            Attribute::Generation,
            Attribute::Inblob,
            Attribute::Outblob,
            Attribute::Auxblob,
            Attribute::Privlevel,
            Attribute::PrivlevelFloor,
        ];
        if has_privlevel { &ALL } else { &ALL[..4] }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Generation => "generation",
            Self::Inblob => "inblob",
            Self::Outblob => "outblob",
            Self::Auxblob => "auxblob",
            Self::Privlevel => "privlevel",
            Self::PrivlevelFloor => "privlevel_floor",
        }
    }

    /// The kernel's modes.
    pub(crate) fn mode(self) -> u16 {
        match self {
            Self::Inblob | Self::Privlevel => 0o200,
            _ => 0o444,
        }
    }
}
