use crate::arguments::ConnectionArguments;
use crate::failure::Failure;
use nitride_client::{Client, ClientError, Options};
use std::path::Path;

/// One of the two sockets.
pub(crate) struct Caller<'c> {
    socket: &'c Path,
    connection: &'c ConnectionArguments,
}

impl<'c> Caller<'c> {
    pub(crate) fn application(connection: &'c ConnectionArguments) -> Self {
        Self {
            socket: &connection.socket,
            connection,
        }
    }

    pub(crate) fn admin(connection: &'c ConnectionArguments) -> Self {
        Self {
            socket: &connection.admin_socket,
            connection,
        }
    }

    /// For verbs that both sockets have.
    pub(crate) fn either(connection: &'c ConnectionArguments) -> Self {
        if connection.admin {
            Self::admin(connection)
        } else {
            Self::application(connection)
        }
    }

    /// Connects and calls; `key` names in the error what the call was about.
    pub(crate) fn call<T>(
        &self,
        key: &str,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let source = |source| Failure::Vhsmd {
            key: Some(key.to_owned()),
            source,
        };
        call(&mut self.connect()?).map_err(source)
    }

    pub(crate) fn call_without_key<T>(
        &self,
        call: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        let source = |source| Failure::Vhsmd { key: None, source };
        call(&mut self.connect()?).map_err(source)
    }

    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        let options = Options::new(concat!("vhsm ", env!("CARGO_PKG_VERSION")));
        Client::connect_with(self.socket, options.with_wait(self.connection.wait))
            .map_err(|source| Failure::Vhsmd { key: None, source })
    }
}
