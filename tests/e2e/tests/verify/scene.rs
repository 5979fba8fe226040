//! A folder of files, and the program over them.

use anyhow::{Context, Result, ensure};
use nitride_support::binaries::Binaries;
use nitride_support::folder::Folder;
use nitride_vectors::{published, snp, tdx};
use nitride_verify::{InitDataDigest, ReportData};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Files of one judgement, and the command line that names them.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    arguments: Vec<String>,
    /// Folders that have to stay.
    others: Vec<Folder>,
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }

    /// The checks that failed, from the JSON.
    pub(crate) fn failed(&self) -> Result<Vec<String>> {
        let json = self.json()?;
        let checks = json["checks"].as_array().context("checks")?;
        let failed = checks.iter().filter(|check| check["outcome"] == "failed");
        Ok(failed
            .filter_map(|check| check["name"].as_str().map(str::to_owned))
            .collect())
    }
}

impl Scene {
    pub(crate) fn new(verb: &str) -> Result<Self> {
        Ok(Self {
            folder: Folder::new()?,
            arguments: vec![verb.to_owned()],
            others: Vec::new(),
        })
    }

    /// Writes a file and names it on the command line.
    pub(crate) fn file(&mut self, option: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.write(name, bytes)?;
        if !option.is_empty() {
            self.arguments.push(option.to_owned());
        }
        self.arguments.push(path.display().to_string());
        Ok(())
    }

    /// Everything of another scene but its evidence, whose folder it keeps.
    pub(crate) fn take_common(&mut self, other: Self) {
        let at = |name: &str| other.arguments.iter().position(|word| word == name);
        let mut taken = Vec::new();
        for option in [
            "--policy",
            "--report-data",
            "--init-data",
            "--time",
            "--collateral",
        ] {
            if let Some(at) = at(option) {
                taken.extend(other.arguments[at..].iter().take(2).cloned());
            }
        }
        self.arguments.extend(taken);
        self.others.push(other.folder);
    }

    pub(crate) fn option(&mut self, option: &str, value: impl ToString) {
        self.arguments.push(option.to_owned());
        self.arguments.push(value.to_string());
    }

    pub(crate) fn report_data(&mut self, data: &ReportData) {
        self.option(
            "--report-data",
            base16ct::lower::encode_string(data.as_bytes()),
        );
    }

    /// The folder of the collateral, which is there from then on.
    pub(crate) fn collateral(&mut self) -> Result<PathBuf> {
        let path = self.folder.join("collateral");
        std::fs::create_dir_all(&path)?;
        self.option("--collateral", path.display());
        Ok(path)
    }

    pub(crate) fn run(&self, more: &[&str]) -> Result<Said> {
        let arguments = self.arguments.iter().map(String::as_str);
        run(&arguments.chain(more.iter().copied()).collect::<Vec<_>>())
    }

    pub(crate) fn json(&self) -> Result<Said> {
        self.run(&["--json"])
    }

    /// A generated SEV-SNP vector.
    pub(crate) fn snp(vector: &snp::Vector) -> Result<Self> {
        let mut scene = Self::new("snp")?;
        scene.file("", "report.bin", &vector.allegation.report)?;
        let certificates = &vector.allegation.certificates;
        for (name, der) in [
            ("vcek.der", &certificates.vcek),
            ("vlek.der", &certificates.vlek),
            ("ask.der", &certificates.ask),
            ("ark.der", &certificates.ark),
        ] {
            if let Some(der) = der {
                scene.file("--certificate", name, der)?;
            }
        }
        scene.amd(vector)?;
        scene.file("--policy", "policy.toml", vector.policy.as_bytes())?;
        scene.report_data(&vector.expected.report_data);
        scene.init_data(vector)?;
        scene.option("--time", vector.now_secs);
        Ok(scene)
    }

    /// What is published of a vector's product.
    pub(crate) fn amd(&mut self, vector: &snp::Vector) -> Result<()> {
        published::write_amd(vector, &self.collateral()?)?;
        Ok(())
    }

    /// The vectors have the digest alone; it is of one of these.
    fn init_data(&mut self, vector: &snp::Vector) -> Result<()> {
        let Some(digest) = &vector.expected.init_data else {
            return Ok(());
        };
        let begin = "version = \"0.1.0\"\nalgorithm = \"sha256\"\n[data]\n";
        for body in [begin.to_owned(), format!("{begin}a = \"b\"\n")] {
            if InitDataDigest::of("toml", &body)? == *digest {
                return self.file("--init-data", "init-data.toml", body.as_bytes());
            }
        }
        anyhow::bail!("init-data that nobody knows")
    }

    /// A generated TDX vector.
    pub(crate) fn tdx(spec: &tdx::Spec) -> Result<Self> {
        Self::tdx_made(spec, &spec.make()?)
    }

    /// The same, made already: keys are drawn anew each time.
    pub(crate) fn tdx_made(spec: &tdx::Spec, made: &tdx::Made) -> Result<Self> {
        let mut scene = Self::new("tdx")?;
        scene.file("", "quote.bin", &made.evidence.quote)?;
        if let Some(log) = &made.evidence.event_log {
            scene.file("--event-log", "ccel.bin", log)?;
        }
        published::write_intel(made, &scene.collateral()?)?;
        scene.file("--policy", "policy.toml", made.policy.as_bytes())?;
        scene.report_data(&made.expected.report_data);
        if let Some(body) = &spec.init_data {
            scene.file("--init-data", "init-data.toml", body.as_bytes())?;
        }
        scene.option("--time", tdx::NOW_SECS);
        Ok(scene)
    }
}

/// Runs the program.
pub(crate) fn run(arguments: &[&str]) -> Result<Said> {
    let output = Command::new(&Binaries::find()?.verify)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("run nitride-verify")?;
    let said = Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    };
    ensure!(!said.err.contains("panicked"), "{said:?}");
    Ok(said)
}
