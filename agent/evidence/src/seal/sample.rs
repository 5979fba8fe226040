use crate::sample::{InvalidSvn, checked_svn};
use crate::seal::derive::derived;
use crate::seal::{Again, Made, Platform, PlatformSecret, SealError};

/// Known to everybody, as all of this is.
const CONSTANT: &[u8] = b"nitride sample platform: not a secret";
/// What a sample's params begin with; the svn follows.
const PARAMS: &str = "sample 1 ";

/// The stand-in where there is no hardware.
#[derive(Debug)]
pub(crate) struct SampleSeal {
    svn: Box<str>,
}

impl SampleSeal {
    pub(crate) fn new(svn: &str) -> Result<Self, InvalidSvn> {
        let svn = checked_svn(svn)?.into();
        Ok(Self { svn })
    }

    fn secret(&self) -> PlatformSecret {
        derived(&[CONSTANT, self.svn.as_bytes()], &[b"sample"])
    }
}

impl Platform for SampleSeal {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn make(&mut self) -> Result<Made, SealError> {
        Ok(Made {
            secret: self.secret(),
            params: format!("{PARAMS}{}", self.svn).into_bytes(),
            warnings: vec!["SIMULATION: this secret is known to everybody".to_owned()],
        })
    }

    fn again(&mut self, params: &[u8]) -> Result<Again, SealError> {
        match params.strip_prefix(PARAMS.as_bytes()) {
            Some(svn) if svn == self.svn.as_bytes() => Ok(Again {
                secret: self.secret(),
                outdated: None,
            }),
            Some(_) => Err(SealError::Changed {
                reason: "the sample has another svn".to_owned(),
            }),
            None => Err(SealError::Foreign {
                reason: "the params are not the sample's".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_svn_gives_the_same_secret_and_another_is_a_change() {
        let mut sample = SampleSeal::new("1").unwrap();
        let made = sample.make().unwrap();
        let again = sample.again(&made.params).unwrap();
        assert_eq!(made.secret.expose(), again.secret.expose());
        let mut other = SampleSeal::new("2").unwrap();
        assert_ne!(made.secret.expose(), other.make().unwrap().secret.expose());
        assert!(matches!(
            other.again(&made.params),
            Err(SealError::Changed { .. })
        ));
    }

    #[test]
    fn foreign_params_and_a_counter_are_refused() {
        let mut sample = SampleSeal::new("1").unwrap();
        for params in [&b""[..], b"sample 2 1", b"tpm", b"sample 1"] {
            let refused = sample.again(params);
            assert!(matches!(refused, Err(SealError::Foreign { .. })));
        }
        assert!(matches!(
            sample.counter(b"sample 1 1", false),
            Err(SealError::CounterLost { .. })
        ));
    }
}
