use super::{Config, Document, load_policy};
use nitride_secmem::{ArenaSizes, BackingChoice, install};
use nitride_vault::policy::{IssuerKey, PolicySet, Source};
use std::fs;
use std::path::Path;

mod hostile;
mod keys;

const LEAST: &str = "policy-dir = \"/p\"\n[arena]\nrecords = \"3MiB\"\nheap = \"3MiB\"\n";

fn parse(text: &str) -> Result<Config, String> {
    let document = Document::of(Path::new("/etc/vhsmd.toml"), text.to_owned());
    Config::of(&document).map_err(|error| error.to_string())
}

/// Every fault is named with its file, its line, what is wrong and what to do.
#[track_caller]
fn refused(text: &str, line: usize, reason: &str, remedy: &str) {
    let error = parse(text).unwrap_err();
    check(&error, "/etc/vhsmd.toml", line, reason, remedy);
}

#[track_caller]
fn check(error: &str, file: &str, line: usize, reason: &str, remedy: &str) {
    let place = format!("{file}:{line}: ");
    assert!(error.contains(&place), "{place} in {error}");
    let (found_reason, found_remedy) = error.rsplit_once("; ").unwrap();
    assert!(found_reason.contains(reason), "{reason} in {error}");
    assert!(found_remedy.contains(remedy), "{remedy} in {error}");
}

#[test]
fn least_configuration_allows_nothing() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.admins, []);
    assert_eq!((config.agent, config.evidence), (None, None));
    assert_eq!(config.arena_sizes.heap_len, 3 << 20);
    assert_eq!(config.limits.buffer_len_per_uid, (3 << 20) / 4);
}

#[test]
fn unknown_keys_are_errors_with_their_line() {
    for text in [
        format!("{LEAST}[sockets]\nappication = \"/a\"\n"),
        format!("{LEAST}[limits]\nconections = 5\n"),
        format!("{LEAST}[[service]]\nurl = \"https://a\"\n"),
    ] {
        refused(&text, 6, "unknown field", "remove it or correct");
    }
    refused(
        &format!("polcy-dir = \"/p\"\n{LEAST}"),
        1,
        "unknown field `polcy-dir`",
        "remove it or correct",
    );
}

#[test]
fn faults_of_the_configuration_name_line_reason_and_remedy() {
    let with = |rest: &str| format!("{LEAST}{rest}\n");
    for (rest, line, reason, remedy) in [
        (
            "[evidence]\ntee = \"sample\"\nquote-socket = \"/q\"",
            6,
            "proves nothing",
            "danger-simulated",
        ),
        (
            "[evidence]\ntee = \"snp\"\nquote-socket = \"/q\"\ndanger-simulated = true",
            6,
            "not simulated",
            "remove",
        ),
        (
            "[evidence]\ntee = \"S N P\"\nquote-socket = \"/q\"",
            6,
            "not the name of a TEE",
            "snp",
        ),
        (
            "[evidence]\ntee = \"snp\"\nquote-socket = \"/q\"\ndevices = \"amd\"",
            8,
            "no evidence of devices",
            "nvidia",
        ),
        (
            "[evidence]\nquote-socket = \"/q\"",
            5,
            "missing field `tee`",
            "add it",
        ),
        (
            "[agent]\nunit = \"a.service\"",
            5,
            "user is not stated once",
            "one of uid and user",
        ),
        (
            "[agent]\nuid = 1\nuser = \"root\"",
            5,
            "user is not stated once",
            "one of uid and user",
        ),
        (
            "[agent]\nuser = \"no-such-user-here\"",
            6,
            "cannot be resolved: there is none",
            "create the user",
        ),
        (
            "[agent]\nuid = 1\nunit = \"agent\"",
            7,
            "not the name of a unit",
            "write it whole",
        ),
        (
            "[admin]\npeers = [\n{ uid = 0 },\n{ },\n]",
            8,
            "states no condition",
            "state uid",
        ),
        (
            "[admin]\npeers = [{ group = \"no-such-group-here\" }]",
            6,
            "group",
            "create the group",
        ),
        (
            "[admin]\npeers = [{ cgroup-prefix = \"system.slice\" }]",
            6,
            "not a path",
            "from the root",
        ),
        (
            "[admin]\npeers = [{ uid = -1 }]",
            6,
            "invalid value",
            "correct it",
        ),
        ("[sockets]\nagent-mode = \"0999\"", 6, "not a mode", "octal"),
        ("[sockets]\nagent-mode = \"7777\"", 6, "not a mode", "octal"),
        ("[limits]\nconnections = 0", 6, "out of range", "from 1 to"),
        (
            "[limits]\nbuffers-per-uid = \"lots\"",
            6,
            "not a size",
            "KiB",
        ),
        (
            "[[disk-key]]\nvolume = \"a/b\"\nkey = \"k\"",
            6,
            "not the name of a volume",
            "crypttab",
        ),
        (
            "[[disk-key]]\nvolume = \"a\"\nkey = \"/k\"",
            7,
            "not the name of a key",
            "name a key",
        ),
        (
            "[[disk-key]]\nvolume = \"a\"\nkey = \"k\"\ntimeout = \"5\"",
            8,
            "not a duration",
            "10m",
        ),
        (
            "[[disk-key]]\nvolume = \"a\"\nkey = \"k\"\nallowed-uids = []",
            8,
            "nobody is allowed",
            "leave it out",
        ),
        (
            "[[disk-key]]\nvolume = \"a\"\nkey = \"k\"\n[[disk-key]]\nvolume = \"a\"\nkey = \"k\"",
            8,
            "stated twice",
            "keep one",
        ),
        (
            "[[credential]]\nunit = \"db\"\nname = \"p\"\nkey = \"k\"",
            6,
            "not the name of a unit",
            "nginx.service",
        ),
        (
            "[[credential]]\nunit = \"db.service\"\nname = \"a/b\"\nkey = \"k\"",
            7,
            "not the name of a credential",
            "LoadCredential=",
        ),
        (
            "[[credential]]\nunit = \"db.service\"\nname = \"a-name-of-75-bytes-is-one-byte-longer-than-the-address-of-systemd-has-room-for\"\nkey = \"k\"",
            7,
            "systemd cannot ask",
            "84 bytes",
        ),
        (
            "[[credential]]\nunit = \"a.service\"\nname = \"b\"\nkey = \"k\"\n[[credential]]\nunit = \"a.service\"\nname = \"b\"\nkey = \"l\"",
            9,
            "stated twice",
            "keep one",
        ),
        (
            "[[signer]]\nname = \"owner\"\npublic-key = \"/k\"\nkid = \"\"",
            8,
            "1 to 64 bytes",
            "kid",
        ),
        ("[[service]]\nname = \"../up\"", 6, "not a name", "letters"),
        ("[arena]\n", 5, "duplicate key", "keep one"),
        ("=", 5, "", "correct it"),
    ] {
        refused(&with(rest), line, reason, remedy);
    }
    let small = LEAST.replace("heap = \"3MiB\"", "heap = \"5000B\"");
    refused(&small, 4, "not the size of an arena", "whole pages");
}

/// A folder with policy files, a P-256 key in PEM, and a configuration that names them.
struct Folder {
    dir: tempfile::TempDir,
    config: Config,
}

/// A P-256 public key: the curve's base point, whose private half is 1.
const OWNER: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
    6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
    -----END PUBLIC KEY-----\n";

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        // What parses keys is in the arena; whichever test comes first puts it there.
        let sizes = ArenaSizes {
            records_len: 64 << 10,
            records_max_len: 64 << 10,
            heap_len: 1 << 20,
        };
        let _ = install(sizes, BackingChoice::Best, Vec::new());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        fs::create_dir(dir.path().join("policy.d")).unwrap();
        fs::write(dir.path().join("owner.pub"), OWNER).unwrap();
        for (name, text) in files {
            let text = text.replace("DIR", path);
            fs::write(dir.path().join("policy.d").join(name), text).unwrap();
        }
        let config = parse(&format!(
            "policy-dir = \"{path}/policy.d\"\n\
             [arena]\nrecords = \"3MiB\"\nheap = \"3MiB\"\n\
             [evidence]\ntee = \"sample\"\ndanger-simulated = true\nquote-socket = \"/q\"\n\
             [[service]]\nname = \"main\"\n\
             [[signer]]\nname = \"owner\"\npublic-key = \"{path}/owner.pub\"\n"
        ))
        .unwrap();
        Self { dir, config }
    }

    fn load(&self) -> Result<PolicySet, String> {
        load_policy(&self.config, 3).map_err(|error| error.to_string())
    }
}

const LOCAL: &str =
    "[[key]]\nname = \"l\"\ntype = \"ec-p256\"\nsource = \"generate\"\noperations = [\"sign\"]\n";

const KEY: &str = "[[key]]\nname = \"a\"\ntype = \"secret\"\nsource = \"kbs:///r/t/g\"\n\
    service = \"main\"\nsigner = \"owner\"\noperations = [\"release\"]\n";

#[test]
fn whole_policy_is_read() {
    let folder = Folder::new(&[
        (
            "10-rules.toml",
            "[[rule]]\nname = \"r\"\nkeys = [\"a/*\"]\npeers = [{ user = \"root\" }]\n\
             operations = [\"sign\"]\n",
        ),
        (
            "20-keys.toml",
            "[[key]]\nname = \"disk\"\ntype = \"secret\"\nsource = \"kbs:///r/t/g\"\n\
             service = \"main\"\nsigner = [\"owner\"]\noperations = [\"release\"]\ngate = \"g\"\n\
             release-to = [{ volume = \"root\" }, { uid = 5 }]\nlease = \"12h\"\n\
             not-before = 2027-01-31T00:00:00Z\nprefetch = true\ntenant = \"t\"\n\
             [[gate]]\nname = \"g\"\nservice = \"main\"\nissuer = \"i\"\n\
             issuer-key = \"DIR/owner.pub\"\naudience = \"a\"\npolicy-id = \"p\"\ntees = [\"snp\"]\nmax-age = \"10m\"\n",
        ),
        ("ignored.txt", "not = [toml"),
        (".hidden.toml", "not = [toml"),
    ]);
    let set = folder.load().unwrap();
    assert_eq!(set.generation, 3);
    assert_eq!(set.rules[0].peers[0].user, Some(0));
    let key = &set.keys[0];
    assert!(matches!(&key.source, Source::Kbs { services, .. } if *services == ["main"]));
    assert_eq!(key.signer, ["owner"]);
    assert_eq!(key.lease_secs, Some(43_200));
    assert_eq!(key.not_before, Some(1_801_353_600));
    assert_eq!(key.release_to.len(), 2);
    assert_eq!(set.gates[0].max_age_ms, 600_000);
    assert!(!set.gates[0].danger_accept_simulated);
    assert_eq!(set.signers[0].kid.len(), 32);
    let pinned = IssuerKey::P256(set.signers[0].point);
    assert_eq!(set.gates[0].issuer_keys, [pinned]);
}

#[test]
fn digest_is_of_names_and_contents() {
    let digest = |files: &[(&str, &str)]| Folder::new(files).load().unwrap().digest;
    let one = digest(&[("a.toml", "# x\n"), ("b.toml", "")]);
    assert_eq!(one, digest(&[("b.toml", ""), ("a.toml", "# x\n")]));
    assert_ne!(one, digest(&[("a.toml", ""), ("b.toml", "# x\n")]));
    assert_ne!(one, digest(&[("a.toml", "# x\n")]));
    assert_ne!(one, digest(&[("a.toml", "# x\n"), ("c.toml", "")]));
}

#[test]
fn faults_of_the_policy_name_file_line_reason_and_remedy() {
    let key = |rest: &str| format!("\n{KEY}{rest}\n");
    let rule = |rest: &str| format!("[[rule]]\nname = \"r\"\n{rest}\n");
    let peer = |peer: &str| {
        rule(&format!(
            "keys = []\noperations = []\npeers = [{{ {peer} }}]"
        ))
    };
    let local = |rest: &str| format!("\n{LOCAL}{rest}\n");
    for (text, line, reason, remedy) in [
        (local("max-uses = 0"), 2, "max-uses of zero", "one or more"),
        (local("max-uses = -1"), 7, "invalid value", "correct it"),
        (local("min-version = 0"), 2, "min-version of zero", "one or more"),
        (local("rate = { uses = 0, per = \"1s\" }"), 2, "rate of zero", "one or more"),
        (local("rate = { uses = 1, per = \"1ms\" }"), 7, "whole seconds", "with s"),
        (local("rate = { uses = 1, per = \"50000d\" }"), 7, "136 years", "shorter"),
        (local("rate = { uses = 1 }"), 7, "missing field `per`", "add it"),
        (local("rate = 5"), 7, "invalid type", "correct it"),
        (local("rotate-after = \"0s\""), 7, "not a duration", "above zero"),
        (local("rotate-after-uses = 0"), 2, "rotate-after-uses of zero", "one or more"),
        (key("rotate-after = \"1d\""), 2, "its service rotates it", "new version"),
        (key("").replace("\"kbs:///r/t/g\"", "\"local\"").replace("service = \"main\"\nsigner = \"owner\"", "rotate-after-uses = 9"), 2, "nothing could rotate it", "remove it"),
        (local("wrappable-by = [\"l\"]"), 2, "wrappable by itself", "another key"),
        (local("wrappable-by = [\"a*\"]"), 7, "not the name of a key", "letters"),
        (local(&format!("wrappable-by = [\"a\"]\n{KEY}")), 2, "of type secret and wraps nothing", "aes-256-kwp"),
        (peer("executable-digest = \"sha256:00\""), 5, "not the digest of a program", "sha256sum"),
        (peer(&format!("executable-digest = \"sha256:{}\"", "AB".repeat(32))), 5, "not the digest of a program", "sha256sum"),
        (peer(&format!("executable-digest = \"sha256:{}\"", "ab".repeat(32))), 1, "executable-digest alone", "state uid"),
        (peer(&format!("per-message = true, executable-digest = \"sha256:{}\"", "ab".repeat(32))), 1, "executable-digest alone", "state uid"),
        (peer("per-message = true"), 5, "states no condition", "state uid"),
        (peer("uid = 4294967295"), 5, "no user and no group", "an account"),
        (peer("unit = \"web@.service\""), 5, "is a template", "web@one.service"),
        (peer("unit = \"web.slice\""), 5, "not the name of a unit", "nginx.service"),
        (peer("unit = \".service\""), 5, "not the name of a unit", "nginx.service"),
        (peer("unit = \"a b.service\""), 5, "not the name of a unit", "nginx.service"),
        (peer("unit = \"a\\nb.service\""), 5, "not the name of a unit", "nginx.service"),
        (peer("unit = \"a/b.service\""), 5, "not the name of a unit", "nginx.service"),
        (peer("cgroup-prefix = \"/a/../b\""), 5, "not a path", "from the root"),
        (peer("cgroup-prefix = \"//a\""), 5, "not a path", "from the root"),
        (key("lease = \"1500ms\""), 9, "whole seconds", "with s"),
        (key("lease = \"12\""), 9, "not a duration", "10m"),
        (key("gate = \"g\""), 2, "gate g, which is not stated", "state it"),
        (key("not-before = 2027-01-31"), 9, "not whole", "2027-01-31T00:00:00Z"),
        (key("not-before = 2028-01-01T00:00:00Z\nnot-after = 2027-01-01T00:00:00Z"), 2, "never valid", "correct one"),
        (key("release-to = [{ unit = \"a.service\", uid = 1 }]"), 9, "one recipient", "each pair"),
        (key("release-to = [{ }]"), 9, "one recipient", "each pair"),
        (key("unsigned = \"maybe\""), 9, "unknown variant", "correct it"),
        (key(&format!("[[key]]{}", &KEY[7..])), 9, "two rules", "keep one"),
        (key("").replace("\"release\"", "\"sign\""), 2, "cannot sign", "remove the operation"),
        (key("").replace("\"release\"", "\"relase\""), 8, "not an operation", "verb"),
        (key("").replace("\"secret\"", "\"password\""), 4, "not a type of key", "ec-p256"),
        (key("").replace("kbs:///r/t/g", "kbs:///r/t"), 5, "not a source", "generate"),
        (key("").replace("kbs:///r/t/g", "generate"), 6, "no service brings", "remove it"),
        (key("").replace("service = \"main\"\n", ""), 5, "service that has the resource", "add service"),
        (key("").replace("\"main\"", "\"other\""), 2, "service other, which is not stated", "vhsmd.toml"),
        (key("").replace("\"owner\"", "\"heir\""), 2, "signer heir, which is not stated", "vhsmd.toml"),
        (key("").replace("signer = \"owner\"\n", ""), 2, "names no signer", "unsigned"),
        (rule("keys = [\"a*\"]\npeers = []\noperations = []"), 3, "matches no key", "folder/*"),
        (rule("keys = []\npeers = [{ uid = 1, shell = \"sh\" }]\noperations = []"), 4, "unknown field", "remove it"),
        (rule("keys = []\noperations = []"), 1, "missing field `peers`", "add it"),
        ("[[gate]]\nname = \"g\"\nservice = \"main\"\nissuer = \"\"\nissuer-key = \"DIR/owner.pub\"\naudience = \"a\"\npolicy-id = \"p\"\ntees = [\"snp\"]\nmax-age = \"10m\"\n".to_owned(), 4, "issuer is empty", "tokens"),
        ("[[gate]]\nname = \"g\"\nservice = \"main\"\nissuer = \"i\"\nissuer-key = []\naudience = \"a\"\npolicy-id = \"p\"\ntees = [\"snp\"]\nmax-age = \"1s\"\n".to_owned(), 5, "names 0 files", "signs now"),
        ("[[gate]]\nname = \"g\"\nservice = \"main\"\nissuer = \"i\"\nissuer-key = \"DIR/owner.pub\"\naudience = \"a\"\npolicy-id = \"p\"\ntees = [\"snp\"]\nmax-age = \"0s\"\n".to_owned(), 9, "not a duration", "above zero"),
    ] {
        let folder = Folder::new(&[("00-empty.toml", ""), ("10-test.toml", &text)]);
        let error = folder.load().expect_err(&text);
        check(&error, "policy.d/10-test.toml", line, reason, remedy);
    }
}

#[test]
fn faulty_key_files_and_folders_are_named() {
    let folder = Folder::new(&[("a.toml", KEY)]);
    for (content, reason) in [
        ("", "not one PEM public key"),
        (
            "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n",
            "not a public key on the curve",
        ),
    ] {
        fs::write(folder.dir.path().join("owner.pub"), content).unwrap();
        let error = folder.load().unwrap_err();
        assert!(
            error.contains("owner.pub: ") && error.contains(reason),
            "{error}"
        );
    }
    fs::remove_dir_all(folder.dir.path().join("policy.d")).unwrap();
    assert!(
        folder
            .load()
            .unwrap_err()
            .contains("policy.d: cannot be read")
    );
}

#[test]
fn policy_that_everybody_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new(&[("a.toml", KEY)]);
    let path = folder.dir.path().join("policy.d/a.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(folder.load().unwrap_err().contains("written by everybody"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(folder.load().is_ok());
    let files = folder.dir.path().join("policy.d");
    fs::set_permissions(&files, fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(folder.load().unwrap_err().contains("written by everybody"));
}

#[test]
fn served_volume_needs_its_key_in_the_policy() {
    let mut folder = Folder::new(&[("a.toml", KEY)]);
    let served = format!("{LEAST}[[disk-key]]\nvolume = \"root\"\nsocket = \"/s\"\nkey = \"a\"\n");
    folder.config.disk_keys = parse(&served).unwrap().disk_keys;
    assert!(
        folder
            .load()
            .unwrap_err()
            .contains("released to the volume root")
    );
    let text = format!("{KEY}release-to = [{{ volume = \"root\" }}]\n");
    fs::write(folder.dir.path().join("policy.d/a.toml"), text).unwrap();
    assert!(folder.load().is_ok());
}

#[test]
fn served_credential_needs_its_key_in_the_policy() {
    let mut folder = Folder::new(&[("a.toml", KEY)]);
    let served =
        format!("{LEAST}[[credential]]\nunit = \"db.service\"\nname = \"p\"\nkey = \"a\"\n");
    folder.config.credentials = parse(&served).unwrap().credentials;
    let write = |to: &str| {
        let text = format!("{KEY}release-to = [{{ {to} }}]\n");
        fs::write(folder.dir.path().join("policy.d/a.toml"), text).unwrap();
    };
    for to in ["unit = \"web.service\"", "uid = 0", "volume = \"db\""] {
        write(to);
        let fault = folder.load().unwrap_err();
        assert!(fault.contains("released to db.service"), "{fault}");
    }
    write("unit = \"db.service\"");
    assert!(folder.load().is_ok());
}

#[test]
fn what_a_service_brings_needs_evidence() {
    let mut folder = Folder::new(&[("a.toml", KEY)]);
    folder.config.evidence = None;
    assert!(folder.load().unwrap_err().contains("[evidence]"));
}
