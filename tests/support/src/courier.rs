//! The agent's side of a round in the test's own hands, one step a call: an honest test takes
//! the steps in order, a hostile one does not.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nitride_kbs::messages::{Attestation, Request, parse_attestation_response, parse_challenge};
use nitride_protocol::Status;
use nitride_protocol::agent::{
    AttestationResult, Challenge, Evidence, Failure, FailureClass, Finish, NextRound,
    PlaintextResource, Resource, RoundOrder,
};

use crate::asker::Asker;
use crate::http::HttpMessage;
use crate::tls::{ServiceConnection, Upstream};

/// What the vault wants of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub round: [u8; 16],
    /// The service's name.
    pub service: String,
    /// The kind of evidence.
    pub tee: String,
    /// The resources, as `repository/type/tag`.
    pub resources: Vec<String>,
    /// Whether the attestation result is wanted.
    pub result_wanted: bool,
    /// Its budget.
    pub budget: Duration,
    /// Whether the agent is to read what it brings.
    pub plaintext: bool,
}

/// What the vault gives for a challenge.
#[derive(Clone, Debug)]
pub struct BoundEvidence {
    /// The round's public key, a JWK.
    pub tee_pubkey: String,
    /// The evidence, JSON.
    pub primary_evidence: String,
    /// Evidence of devices.
    pub additional_evidence: String,
}

/// An agent of the test.
#[derive(Debug)]
pub struct Courier {
    asker: Asker,
}

impl Courier {
    /// Connects to the vault's agent socket.
    ///
    /// # Errors
    /// When the vault does not take this process for its agent.
    pub fn connect(socket: &Path) -> Result<Self> {
        Ok(Self {
            asker: Asker::connect(socket, Duration::ZERO)?,
        })
    }

    /// Waits for work.
    ///
    /// # Errors
    /// When none comes.
    pub fn next_round(&mut self) -> Result<Order> {
        let answer = self.asker.ask(&NextRound {
            takes_plaintext: true,
            ..NextRound::default()
        })?;
        let order: RoundOrder<'_> = answer.result().context("take an order")?;
        Ok(Order {
            round: order.round,
            service: order.service.to_owned(),
            tee: order.tee.to_owned(),
            resources: order
                .resources
                .iter()
                .map(|path| (*path).to_owned())
                .collect(),
            result_wanted: order.result_wanted,
            budget: Duration::from_millis(order.budget_ms.into()),
            plaintext: order.plaintext,
        })
    }

    /// Hands over a nonce and takes evidence.
    ///
    /// # Errors
    /// When the vault refuses.
    pub fn challenge(&mut self, order: &Order, nonce: &str) -> Result<BoundEvidence> {
        self.challenge_offering(order, nonce, &[])
    }

    /// The same, with the forms of TEE key that a service offers, or is said to.
    ///
    /// # Errors
    /// When the vault refuses.
    pub fn challenge_offering(
        &mut self,
        order: &Order,
        nonce: &str,
        tee_keys: &[&str],
    ) -> Result<BoundEvidence> {
        let answer = self.asker.ask(&Challenge {
            round: order.round,
            nonce,
            hash: None,
            tee_keys: tee_keys.to_vec(),
            wants_audit_head: false,
        })?;
        let evidence: Evidence<'_> = answer.result().context("challenge the vault")?;
        Ok(BoundEvidence {
            tee_pubkey: evidence.tee_pubkey.to_owned(),
            primary_evidence: evidence.primary_evidence.to_owned(),
            additional_evidence: evidence.additional_evidence.to_owned(),
        })
    }

    /// Delivers an attestation result; the vault's word on it.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub fn result(&mut self, order: &Order, token: &str) -> Result<Status> {
        let round = order.round;
        Ok(self.asker.ask(&AttestationResult { round, token })?.status)
    }

    /// Delivers a resource; the vault's word on it.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub fn resource(&mut self, order: &Order, resource: &str, jwe: &[u8]) -> Result<Status> {
        let round = order.round;
        let call = Resource {
            round,
            resource,
            jwe,
        };
        Ok(self.asker.ask(&call)?.status)
    }

    /// Delivers a resource in the clear, as version 1; the vault's word on it.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub fn plaintext(&mut self, order: &Order, resource: &str, material: &[u8]) -> Result<Status> {
        let call = PlaintextResource {
            round: order.round,
            resource,
            version: 1,
            lease_secs: None,
            material,
        };
        Ok(self.asker.ask(&call)?.status)
    }

    /// Says that something cannot be had; the vault's word on it.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub fn failure(
        &mut self,
        order: &Order,
        resource: Option<&str>,
        class: FailureClass,
    ) -> Result<Status> {
        let call = Failure {
            round: order.round,
            resource,
            class,
            reason: "a test says so",
            retry_after_ms: 0,
        };
        Ok(self.asker.ask(&call)?.status)
    }

    /// Ends a round.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub fn finish(&mut self, order: &Order) -> Result<Status> {
        let round = order.round;
        Ok(self.asker.ask(&Finish { round })?.status)
    }

    /// The connection, for what no agent would say.
    pub fn asker(&mut self) -> &mut Asker {
        &mut self.asker
    }
}

/// A session with a service, as the protocol has it: a cookie from `auth` on.
#[derive(Debug)]
pub struct KbsSession {
    connection: ServiceConnection,
    cookie: Option<String>,
}

impl KbsSession {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(upstream: &Upstream) -> Result<Self> {
        Ok(Self {
            connection: ServiceConnection::open(upstream)?,
            cookie: None,
        })
    }

    /// Asks for a challenge and returns its nonce.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn auth(&mut self, tee: &str) -> Result<String> {
        let request = Request::new(tee).to_json();
        let response = self.post("/kbs/v0/auth", request.as_bytes())?;
        ensure!(response.status() == 200, "auth: {}", text(&response));
        Ok(parse_challenge(&response.body)
            .context("read the challenge")?
            .nonce)
    }

    /// Posts evidence and returns the service's response, whatever it is.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn post_evidence(&mut self, nonce: &str, evidence: &BoundEvidence) -> Result<HttpMessage> {
        let attestation = Attestation::compose(
            nonce,
            &evidence.tee_pubkey,
            &evidence.primary_evidence,
            &evidence.additional_evidence,
            None,
        )
        .context("compose an attestation")?;
        self.post_attestation(attestation.to_json().as_bytes())
    }

    /// Posts any body in an attestation's place, and returns the service's response.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn post_attestation(&mut self, body: &[u8]) -> Result<HttpMessage> {
        self.post("/kbs/v0/attest", body)
    }

    /// Posts evidence and returns the token.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn attest(&mut self, nonce: &str, evidence: &BoundEvidence) -> Result<String> {
        let response = self.post_evidence(nonce, evidence)?;
        ensure!(response.status() == 200, "attest: {}", text(&response));
        let response = parse_attestation_response(&response.body).context("read the token")?;
        Ok(response.token)
    }

    /// Fetches a resource and returns the service's response, whatever it is.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn fetch(&mut self, resource: &str) -> Result<HttpMessage> {
        let request = HttpMessage::request("GET", &format!("/kbs/v0/resource/{resource}"), b"");
        self.send(request)
    }

    /// Fetches a resource and returns the JWE.
    ///
    /// # Errors
    /// When the service refuses.
    pub fn resource(&mut self, resource: &str) -> Result<Vec<u8>> {
        let response = self.fetch(resource)?;
        ensure!(response.status() == 200, "resource: {}", text(&response));
        Ok(response.body)
    }

    fn post(&mut self, path: &str, body: &[u8]) -> Result<HttpMessage> {
        self.send(HttpMessage::request("POST", path, body))
    }

    fn send(&mut self, mut request: HttpMessage) -> Result<HttpMessage> {
        if let Some(cookie) = &self.cookie {
            request = request.with_header("cookie", cookie);
        }
        let response = self.connection.call(&request)?;
        // The newest counts: a service may put the token itself into it.
        if let Some(cookie) = response.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        Ok(response)
    }
}

fn text(response: &HttpMessage) -> String {
    format!(
        "{} {}",
        response.first_line,
        String::from_utf8_lossy(&response.body)
    )
}
