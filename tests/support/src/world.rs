//! The programs of one test, wired together.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use nitride_client::{Client, ClientError, Options};
use nitride_protocol::Status;

use crate::binaries::Binaries;
use crate::descriptor_store::DescriptorStore;
use crate::folder::Folder;
use crate::owner::Owner;
use crate::pki::Pki;
use crate::plan::{Plan, expand, read_address};
use crate::program::{Launch, Program, RunAs, command_as, tail};
use crate::relay::Relay;
use crate::tls::Upstream;

/// How long a request of [`World::application`] may wait for a round.
pub const WAIT: Duration = Duration::from_secs(20);

/// Running programs in a folder of their own. Dropped, everything is gone; what the programs
/// wrote is printed then, which a test harness shows where a test failed.
#[derive(Debug)]
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// Where its files are.
    pub folder: Folder,
    /// Its certificates.
    pub pki: Pki,
    /// The evidence helper.
    pub quote: Option<Program>,
    /// The vault.
    pub vhsmd: Option<Program>,
    /// The service.
    pub service: Option<Program>,
    /// Between agent and service.
    pub relay: Option<Relay>,
    /// The courier.
    pub agent: Option<Program>,
    /// What keeps the vault's records over its end.
    pub store: Option<Arc<DescriptorStore>>,
    /// Whether the logs are printed at the end.
    pub talkative: bool,
}

impl World {
    /// Starts what the plan wants and waits until all of it is ready.
    ///
    /// # Errors
    /// When a program does not become ready; its log stands in the error.
    pub fn start(plan: Plan) -> Result<Self> {
        let mut world = Self::prepare(plan)?;
        world.start_quote()?;
        world.start_vhsmd()?;
        if world.plan.with_service {
            world.start_service()?;
        }
        if world.plan.with_agent {
            world.start_agent()?;
        }
        Ok(world)
    }

    /// Makes keys and files, and starts nothing.
    ///
    /// # Errors
    /// When a file cannot be written or a key not be made.
    pub fn prepare(plan: Plan) -> Result<Self> {
        let folder = Folder::new()?;
        let pki = Pki::new("nitride test CA")?;
        folder.write("ca.pem", pki.ca_pem())?;
        Owner::new(&folder).make_keys()?;
        plan.write_quote(&folder)?;
        plan.write_vhsmd(&folder)?;
        if plan.with_service {
            let identity = pki.server()?;
            folder.write("service.pem", &identity.certificate_pem)?;
            folder.write_secret("service.key", &identity.key_pem)?;
            plan.write_service(&folder)?;
        }
        Ok(Self {
            plan,
            folder,
            pki,
            quote: None,
            vhsmd: None,
            service: None,
            relay: None,
            agent: None,
            store: None,
            talkative: true,
        })
    }

    /// Starts the evidence helper.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_quote(&mut self) -> Result<()> {
        self.plan.write_quote(&self.folder)?;
        self.start_quote_as_configured()
    }

    /// Starts the evidence helper on the configuration file that is there.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_quote_as_configured(&mut self) -> Result<()> {
        let run_as = self.plan.quote_as.clone();
        let path = Binaries::find()?.quote.clone();
        self.quote = Some(self.launch("quote", path, run_as)?);
        Ok(())
    }

    /// Starts the evidence helper by a command that becomes it, in surroundings of the test's. Its
    /// configuration is named after these words.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_quote_by(&mut self, words: Vec<OsString>) -> Result<()> {
        self.plan.write_quote(&self.folder)?;
        let mut words = words.into_iter();
        let path = words.next().context("a command")?.into();
        let run_as = self.plan.quote_as.clone();
        self.quote = Some(self.launch_with("quote", path, words.collect(), run_as)?);
        Ok(())
    }

    /// Starts the vault.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_vhsmd(&mut self) -> Result<()> {
        let run_as = self.plan.vhsmd_as.clone();
        let path = Binaries::find()?.vhsmd.clone();
        self.vhsmd = Some(self.launch("vhsmd", path, run_as)?);
        Ok(())
    }

    /// Starts the service, and the relay in front of it where there is none yet.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_service(&mut self) -> Result<()> {
        let path = Binaries::find()?.provisiond.clone();
        self.service = Some(self.launch("provisiond", path, RunAs::default())?);
        let upstream = self.service_upstream()?;
        self.stand_before(vec![upstream])
    }

    /// Has the relay stand before a service or its replicas; where there is none yet, starts it.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn stand_before(&mut self, replicas: Vec<Upstream>) -> Result<()> {
        match &self.relay {
            Some(relay) => relay.redirect(replicas),
            None => self.relay = Some(Relay::start(&self.pki.server()?, replicas)?),
        }
        Ok(())
    }

    /// Starts the agent, pointed at the relay.
    ///
    /// # Errors
    /// When there is no relay or it does not become ready.
    pub fn start_agent(&mut self) -> Result<()> {
        let relay = self.relay()?.address();
        self.start_agent_at(&format!("https://localhost:{}", relay.port()))
    }

    /// Starts the agent, pointed at a URL.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_agent_at(&mut self, url: &str) -> Result<()> {
        self.plan.write_agent(&self.folder, url)?;
        self.start_agent_as_configured()
    }

    /// Starts the agent on the configuration file that is there.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_agent_as_configured(&mut self) -> Result<()> {
        let run_as = self.plan.agent_as.clone();
        let path = Binaries::find()?.agent.clone();
        self.agent = Some(self.launch("agent", path, run_as)?);
        Ok(())
    }

    fn launch(&self, name: &str, path: PathBuf, run_as: RunAs) -> Result<Program> {
        self.launch_with(name, path, Vec::new(), run_as)
    }

    fn launch_with(
        &self,
        name: &str,
        path: PathBuf,
        mut arguments: Vec<OsString>,
        run_as: RunAs,
    ) -> Result<Program> {
        let config = format!("{name}.toml");
        if name == "provisiond" {
            arguments.push("serve".into());
        }
        arguments.extend(["--config".into(), self.folder.join(&config).into()]);
        let launch = Launch {
            name: name.to_owned(),
            path,
            arguments,
            environment: match name {
                "vhsmd" => self.plan.environment(&self.folder),
                _ => Vec::new(),
            },
            run_as,
        };
        let store = self.store.as_ref().filter(|_| name == "vhsmd");
        let mut program = Program::launch_keeping(&self.folder, &launch, store)?;
        program.wait_ready()?;
        Ok(program)
    }

    /// The owner of this world's resources.
    #[must_use]
    pub fn owner(&self) -> Owner<'_> {
        Owner::new(&self.folder)
    }

    /// The relay.
    ///
    /// # Errors
    /// When the plan has no service.
    pub fn relay(&self) -> Result<&Relay> {
        self.relay.as_ref().context("this world has no service")
    }

    /// The vault.
    ///
    /// # Errors
    /// When it does not run.
    pub fn vhsmd(&self) -> Result<&Program> {
        self.vhsmd.as_ref().context("vhsmd does not run")
    }

    /// The agent.
    ///
    /// # Errors
    /// When it does not run.
    pub fn agent(&self) -> Result<&Program> {
        self.agent.as_ref().context("the agent does not run")
    }

    /// The service itself, past the relay.
    ///
    /// # Errors
    /// When it has not written where it listens.
    pub fn service_upstream(&self) -> Result<Upstream> {
        self.upstream_of("service.port")
    }

    /// The relay, as another client than the agent reaches it.
    ///
    /// # Errors
    /// When there is none.
    pub fn relay_upstream(&self) -> Result<Upstream> {
        Ok(self.upstream_at(self.relay()?.address()))
    }

    /// What has written its address into this file.
    pub(crate) fn upstream_of(&self, port_file: &str) -> Result<Upstream> {
        Ok(self.upstream_at(read_address(&self.folder, port_file)?))
    }

    fn upstream_at(&self, address: SocketAddr) -> Upstream {
        Upstream {
            address,
            ca_pem: Some(self.pki.ca_pem().to_owned()),
        }
    }

    /// The path of something in the world's folder, such as `vhsm.sock`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// An application that waits for rounds as long as [`WAIT`].
    ///
    /// # Errors
    /// When the vault does not let it in.
    pub fn application(&self) -> Result<Client> {
        self.application_waiting(WAIT)
    }

    /// An application that waits so long for a round; zero is not at all.
    ///
    /// # Errors
    /// When the vault does not let it in.
    pub fn application_waiting(&self, wait: Duration) -> Result<Client> {
        let options = Options::new("tests").with_wait(wait);
        Client::connect_with(self.path("vhsm.sock"), options).context("connect as an application")
    }

    /// An administrator.
    ///
    /// # Errors
    /// When the vault does not let it in.
    pub fn admin(&self) -> Result<Client> {
        Client::connect(self.path("admin.sock")).context("connect as an administrator")
    }

    /// Takes another policy and has the vault read it.
    ///
    /// # Errors
    /// When the vault refuses it.
    pub fn set_policy(&mut self, policy: &str) -> Result<()> {
        policy.clone_into(&mut self.plan.policy);
        self.plan.write_policy(&self.folder)?;
        self.admin()?.reload().context("reload")?;
        Ok(())
    }

    /// Puts the world's own values into a text.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        expand(&self.folder, text)
    }

    /// Runs the command line at this world's sockets.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn vhsm(&self, run_as: &RunAs, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut command = command_as(run_as, &Binaries::find()?.vhsm);
        command
            .arg("--socket")
            .arg(self.path("vhsm.sock"))
            .arg("--admin-socket")
            .arg(self.path("admin.sock"))
            .args(arguments);
        run(&mut command, input)
    }

    /// The logs of all programs.
    #[must_use]
    pub fn logs(&self) -> String {
        ["quote", "vhsmd", "provisiond", "agent"]
            .iter()
            .map(|name| (name, self.folder.join(&format!("{name}.log"))))
            .filter(|(_, path)| path.exists())
            .map(|(name, path)| format!("--- {name}\n{}\n", tail(&path, 100)))
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.talkative {
            eprintln!("{}", self.logs());
        }
        // In the order in which an operator would stop them.
        self.agent = None;
        self.relay = None;
        self.service = None;
        self.vhsmd = None;
        self.quote = None;
    }
}

/// How a call ended: `ok`, or the status it was refused with.
///
/// # Errors
/// When the vault gave no answer.
pub fn outcome<T>(called: Result<T, ClientError>) -> Result<Status> {
    match called {
        Ok(_) => Ok(Status::Ok),
        Err(error) => match error.status() {
            Some(status) => Ok(status),
            None => Err(error).context("no answer"),
        },
    }
}

/// Runs a command with this input and collects what it writes.
///
/// # Errors
/// When it cannot be run.
pub fn run(command: &mut Command, input: &[u8]) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {}", Path::new(command.get_program()).display()))?;
    let mut stdin = child.stdin.take().context("its standard input")?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that does not read its input is no fault of the writer.
        let _ = std::io::Write::write_all(&mut stdin, &input);
    });
    let output = child.wait_with_output().context("wait for it")?;
    let _ = writer.join();
    Ok(output)
}
