//! In the place of `direct` in a build without the feature `openbao`, as an initrd's is. Nothing of these
//! types can be made, so no round gets where one of them is wanted.

use crate::effect::Question;
use crate::endpoints::EndpointId;
use crate::fault::Fault;
use crate::http::{HttpAnswer, HttpRequest};
use std::convert::Infallible;

pub(crate) struct Direct(Infallible);
pub(crate) struct LoggedIn(Infallible);
pub(crate) struct Token(Infallible);

impl Direct {
    pub(crate) fn request(&self, _: EndpointId) -> HttpRequest {
        match self.0 {}
    }

    pub(crate) fn read_login(&self, _: &HttpAnswer) -> Result<Token, Fault> {
        match self.0 {}
    }

    pub(crate) fn logged_in(self, token: Token, _: EndpointId) -> LoggedIn {
        match token.0 {}
    }
}

impl LoggedIn {
    pub(crate) fn request(&self, _: usize, _: EndpointId) -> HttpRequest {
        match self.0 {}
    }

    pub(crate) fn revocation(&self) -> HttpRequest {
        match self.0 {}
    }

    pub(crate) fn take(
        &mut self,
        _: String,
        _: &HttpAnswer,
        _: EndpointId,
    ) -> Result<Question, Fault> {
        match self.0 {}
    }
}
