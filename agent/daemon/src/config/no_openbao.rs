//! In the place of `openbao` in a build without it, as an initrd's is: a service of that kind is refused by
//! name, so there is none.

use super::kind::OpenBaoTable;
use crate::clock::Clock;
use nitride_courier::{Effect, Endpoints, Order, Round};
use nitride_settings::{Fault, fault};
use serde::de::IgnoredAny;
use std::convert::Infallible;
use std::ops::Range;

pub(super) type EncodingWord = IgnoredAny;
pub(super) type LoginTable = IgnoredAny;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenBao(Infallible);

impl OpenBao {
    pub(crate) fn begin(
        &self,
        _: Order,
        _: &mut Endpoints,
        _: Clock,
    ) -> Result<(Round, Effect), String> {
        match self.0 {}
    }
}

impl OpenBaoTable {
    pub(super) fn stated(self, at: &Range<usize>, _: bool) -> Result<OpenBao, Fault> {
        fault(
            at.clone(),
            "the nitride-agent of an initrd reads no OpenBao: have nitride-provisiond or another KBS give \
             what is wanted there, or have the agent read it after the switch",
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn an_openbao_is_refused_by_name_and_a_kbs_is_served() {
        let text = |kind: &str| {
            format!(
                "[vhsmd]\nsocket = \"/run/a\"\n[[service]]\nname = \"s\"\n{kind}ca = \"/ca\"\n\
                 [[service.endpoint]]\nurl = \"https://s.example\"\n"
            )
        };
        let refused = Config::parse(&text("kind = \"openbao\"\nplaintext-courier = true\n"));
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("an initrd reads no OpenBao"), "{said}");
        assert!(Config::parse(&text("kind = \"kbs\"\n")).is_ok());
    }
}
