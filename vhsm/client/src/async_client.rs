use crate::calls::typed_calls;
use crate::calls_of_keys::typed_calls_of_keys;
use crate::channel::Channel;
use crate::{ClientError, Options, Server};
use nitride_ipc::Connection;
use nitride_protocol::{Call, Message};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// A connection to vhsmd for tokio. Calls take `&self`: any number can be under way at once.
///
/// Each call ends by its deadline, [`Options::wait`] and [`Options::grace`] together; dropping a
/// call's future gives the call up. vhsmd answers a connection's requests in order but for those
/// that wait for a round.
#[derive(Debug)]
pub struct AsyncClient {
    channel: Channel,
    server: Server,
    deadline: Duration,
}

typed_calls!(AsyncClient, self, [], [async], [.await]);
typed_calls_of_keys!(AsyncClient, self, [], [async], [.await]);

impl AsyncClient {
    /// Connects and says hello, without waiting for rounds.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or what refuses the hello.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        Self::connect_with(path, Options::new("nitride-client")).await
    }

    /// Connects and says hello.
    ///
    /// # Errors
    /// [`ClientError::Connect`], or what refuses the hello.
    pub async fn connect_with(
        path: impl AsRef<Path>,
        options: Options,
    ) -> Result<Self, ClientError> {
        let (channel, server) = Channel::connect(path.as_ref(), &options).await?;
        Ok(Self {
            channel,
            server,
            deadline: options.deadline(),
        })
    }

    /// Says hello over a connection that is there already.
    ///
    /// # Errors
    /// What refuses the hello.
    pub async fn over(connection: Connection, options: Options) -> Result<Self, ClientError> {
        let (channel, server) = Channel::over(connection, &options).await?;
        Ok(Self {
            channel,
            server,
            deadline: options.deadline(),
        })
    }

    /// What the server said of itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Makes any call, and gives its reply to `own` while it stands in erasable memory.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with vhsmd's status, or why there was no answer.
    pub async fn call<'a, R, T>(
        &self,
        request: &R,
        own: impl for<'r> FnOnce(R::Reply<'r>) -> T,
    ) -> Result<T, ClientError>
    where
        R: Call + Message<'a>,
    {
        self.channel.call(request, Some(self.deadline), own).await
    }
}
