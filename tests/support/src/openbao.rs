//! Real OpenBao servers that a test starts: one node, or a cluster of integrated storage on loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::bao::program;
use crate::folder::Folder;
use crate::http::HttpMessage;
use crate::pki::Pki;
use crate::program::{RunAs, command_as, tail};
use crate::tls::{ServiceConnection, Upstream};

/// How long a cluster may take to come up.
const PATIENCE: Duration = Duration::from_secs(90);

/// What nitride-provisiond needs of a KV engine, as docs/fleet.md says it.
pub const POLICY: &str = r#"
path "secret/data/nitride/*"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/nitride/*" { capabilities = ["list"] }
path "secret/destroy/nitride/*"  { capabilities = ["create", "update"] }
"#;

/// Running servers of one cluster, unsealed, with an engine, a policy and an application's role. Dropped,
/// they are killed.
#[derive(Debug)]
pub struct Cluster {
    folder: Folder,
    ca_pem: String,
    nodes: Vec<Node>,
    unseal_key: String,
    root_token: String,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    child: Option<Child>,
}

impl Cluster {
    /// Starts so many nodes, whose certificates are of `pki`.
    ///
    /// # Errors
    /// Where there is no server, or it does not come up; its log stands in the error.
    pub fn start(pki: &Pki, count: usize) -> Result<Self> {
        let program = program()?;
        let folder = Folder::new()?;
        let identity = pki.server()?;
        folder.write("bao.pem", &identity.certificate_pem)?;
        folder.write_secret("bao.key", &identity.key_pem)?;
        folder.write("ca.pem", pki.ca_pem())?;
        let ports = free_ports(2 * count)?;
        let (api, cluster) = ports.split_at(count);
        let mut nodes = Vec::with_capacity(count);
        for (index, (&port, &cluster_port)) in api.iter().zip(cluster).enumerate() {
            write_config(&folder, index, port, cluster_port, &api[..1])?;
            nodes.push(Node {
                address: SocketAddr::from(([127, 0, 0, 1], port)),
                child: None,
            });
        }
        let mut bao = Self {
            folder,
            ca_pem: pki.ca_pem().to_owned(),
            nodes,
            unseal_key: String::new(),
            root_token: String::new(),
        };
        for index in 0..count {
            bao.launch(&program, index)?;
        }
        bao.initialize().with_context(|| bao.logs())?;
        bao.set_up().with_context(|| bao.logs())?;
        Ok(bao)
    }

    /// `https://host:port` of each node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let urls = self.nodes.iter();
        urls.map(|node| format!("https://localhost:{}", node.address.port()))
            .collect()
    }

    /// A node, for who stands before it.
    ///
    /// # Errors
    /// Where there is none of this number.
    pub fn upstream(&self, index: usize) -> Result<Upstream> {
        Ok(Upstream {
            address: self.nodes.get(index).context("a node")?.address,
            ca_pem: Some(self.ca_pem.clone()),
        })
    }

    /// One request as root, at the first node that answers it.
    ///
    /// # Errors
    /// Where no node answers with success in time.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut last = anyhow::anyhow!("there is no node");
            for index in 0..self.nodes.len() {
                match self.ask_node(index, method, path, body) {
                    Ok((200..=204, answer)) => return Ok(answer),
                    Ok((status, answer)) => {
                        last = anyhow::anyhow!("{method} {path}: {status} {answer}");
                    }
                    Err(error) => last = error,
                }
            }
            if Instant::now() > until {
                return Err(last);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One request as root, at one node; its status and its answer.
    ///
    /// # Errors
    /// Where the node does not answer.
    pub fn ask_node(
        &self,
        index: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<(u16, Value)> {
        let upstream = self.upstream(index)?;
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let mut request = HttpMessage::request(method, &format!("/v1/{path}"), &body);
        if !self.root_token.is_empty() {
            request = request.with_header("X-Vault-Token", &self.root_token);
        }
        let answer = ServiceConnection::open(&upstream)?.call(&request)?;
        let value = match answer.body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&answer.body).context("read bao's answer")?,
        };
        Ok((answer.status(), value))
    }

    /// The node that leads.
    ///
    /// # Errors
    /// Where none does in time.
    pub fn leader(&self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            for index in 0..self.nodes.len() {
                // 200 is said by the leader alone; who stands by says 429.
                if let Ok((200, _)) = self.ask_node(index, "GET", "sys/health", &Value::Null) {
                    return Ok(index);
                }
            }
            ensure!(Instant::now() < until, "no node leads\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills a node (SIGKILL).
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self, index: usize) -> Result<()> {
        let node = self.nodes.get_mut(index).context("a node")?;
        let mut child = node.child.take().context("the node runs")?;
        child.kill().context("kill the node")?;
        child.wait().context("wait for its end").map(drop)
    }

    /// Whether nobody has killed this node.
    #[must_use]
    pub fn runs(&self, index: usize) -> bool {
        self.nodes
            .get(index)
            .is_some_and(|node| node.child.is_some())
    }

    /// Starts a node again that was killed, and unseals it.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_again(&mut self, index: usize) -> Result<()> {
        self.launch(&program()?, index)?;
        self.unseal(index)
    }

    /// Writes what a login by the application's role takes: `bao-ca.pem`, `bao-role` and `bao-secret`.
    ///
    /// # Errors
    /// Where the role gives no secret.
    pub fn write_login(&self, folder: &Folder) -> Result<()> {
        let role = self.ask("GET", "auth/approle/role/nitride/role-id", &Value::Null)?;
        let secret = self.ask("POST", "auth/approle/role/nitride/secret-id", &json!({}))?;
        folder.write("bao-ca.pem", &self.ca_pem)?;
        for (name, value) in [
            ("bao-role", &role["data"]["role_id"]),
            ("bao-secret", &secret["data"]["secret_id"]),
        ] {
            folder.write_secret(name, value.as_str().context("an id")?)?;
        }
        Ok(())
    }

    /// Has the service of a world that is prepared keep its resources here: what a login takes, and the
    /// table `[openbao]` of its configuration.
    ///
    /// # Errors
    /// Where the role gives no secret.
    pub fn keep_resources_of(&self, folder: &Folder) -> Result<()> {
        self.write_login(folder)?;
        let toml = std::fs::read_to_string(folder.join("provisiond.toml"))
            .context("read the service's configuration")?;
        let kept = toml.lines().filter(|line| !line.starts_with("store = "));
        let kept: Vec<&str> = kept.collect();
        let table = format!(
            "[openbao]\naddresses = {}\nca = \"bao-ca.pem\"\nmount = \"secret\"\nprefix = \"nitride\"\n\
             deadline-secs = 40\nattempt-secs = 3\n\n[openbao.login]\nmethod = \"approle\"\n\
             role-id = \"bao-role\"\nsecret-id = \"bao-secret\"\n",
            json!(self.urls())
        );
        let toml = format!("{}\n\n{table}", kept.join("\n"));
        folder.write("provisiond.toml", toml).map(drop)
    }

    /// Where the nodes keep what they are given.
    #[must_use]
    pub fn storage(&self) -> &Path {
        self.folder.path()
    }

    /// The ends of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let numbers = 0..self.nodes.len();
        numbers
            .map(|index| format!("--- bao {index}\n{}\n", tail(&self.log(index), 25)))
            .collect()
    }

    fn log(&self, index: usize) -> PathBuf {
        self.folder.join(&format!("bao-{index}.log"))
    }

    fn launch(&mut self, program: &Path, index: usize) -> Result<()> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(index))
            .context("open bao's log")?;
        let child = command_as(&RunAs::default(), program)
            .arg("server")
            .arg(format!(
                "-config={}",
                self.folder.join(&format!("bao-{index}.json")).display()
            ))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .spawn()
            .context("start bao")?;
        let node = self.nodes.get_mut(index).context("a node")?;
        node.child = Some(child);
        Ok(())
    }

    fn initialize(&mut self) -> Result<()> {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let keys = retried(|| match self.ask_node(0, "PUT", "sys/init", &shares)? {
            (200, keys) => Ok(keys),
            (status, answer) => bail!("initialize bao: {status} {answer}"),
        })?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a key");
        self.unseal_key = text(&keys["keys_base64"][0])?;
        Base64::decode_vec(&self.unseal_key).map_err(|_| anyhow::anyhow!("an unseal key"))?;
        self.root_token = text(&keys["root_token"])?;
        for index in 0..self.nodes.len() {
            self.unseal(index)?;
        }
        self.leader().map(drop)
    }

    fn unseal(&self, index: usize) -> Result<()> {
        let key = json!({ "key": self.unseal_key });
        retried(|| {
            let (status, answer) = self.ask_node(index, "PUT", "sys/unseal", &key)?;
            ensure!(
                status == 200 && answer["sealed"] == false,
                "{status} {answer}"
            );
            Ok(())
        })
    }

    fn set_up(&self) -> Result<()> {
        let engine = json!({ "type": "kv", "options": { "version": "2" } });
        self.ask("POST", "sys/mounts/secret", &engine)?;
        self.ask("POST", "sys/auth/approle", &json!({ "type": "approle" }))?;
        let policy = json!({ "policy": POLICY });
        self.ask("POST", "sys/policies/acl/nitride", &policy)?;
        let role = json!({ "token_policies": ["nitride"], "token_ttl": "1h" });
        self.ask("POST", "auth/approle/role/nitride", &role)?;
        // An engine of version 2 is made ready in the background.
        let probe = json!({ "data": { "ready": "yes" } });
        self.ask("POST", "secret/data/probe", &probe)?;
        if self.nodes.len() > 1 {
            self.wait_for_voters()?;
        }
        Ok(())
    }

    /// A node that joined has a vote only when it has caught up: before, a lost leader is a lost cluster.
    fn wait_for_voters(&self) -> Result<()> {
        retried(|| {
            let path = "sys/storage/raft/configuration";
            let answer = self.ask("GET", path, &Value::Null)?;
            let servers = answer["data"]["config"]["servers"].as_array();
            let servers = servers.context("a configuration")?;
            let voters = servers.iter().filter(|server| server["voter"] == true);
            ensure!(voters.count() == self.nodes.len(), "not all vote: {answer}");
            Ok(())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn write_config(
    folder: &Folder,
    index: usize,
    port: u16,
    cluster_port: u16,
    join: &[u16],
) -> Result<()> {
    let at = |name: &str| folder.join(name).display().to_string();
    let storage = at(&format!("raft-{index}"));
    std::fs::create_dir(&storage).context("make bao's storage")?;
    let joined = join.iter().map(|port| {
        json!({
            "leader_api_addr": format!("https://localhost:{port}"),
            "leader_ca_cert_file": at("ca.pem"),
        })
    });
    let mut raft = json!({
        "path": storage,
        "node_id": format!("node-{index}"),
        "performance_multiplier": 1,
    });
    if index > 0 {
        raft["retry_join"] = joined.collect();
    }
    let config = json!({
        "api_addr": format!("https://localhost:{port}"),
        "cluster_addr": format!("https://127.0.0.1:{cluster_port}"),
        "storage": { "raft": raft },
        "listener": [{ "tcp": {
            "address": format!("127.0.0.1:{port}"),
            "cluster_address": format!("127.0.0.1:{cluster_port}"),
            "tls_cert_file": at("bao.pem"),
            "tls_key_file": at("bao.key"),
        } }],
    });
    folder
        .write(&format!("bao-{index}.json"), config.to_string())
        .map(drop)
}

fn retried<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Ports that were free a moment ago, all different.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("find ports")?;
    let ports = listeners.iter().map(|listener| listener.local_addr());
    let ports = ports.map(|address| address.map(|address| address.port()));
    ports.collect::<Result<_, _>>().context("find ports")
}
