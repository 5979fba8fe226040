//! Keys of every kind, what AWS-LC makes of them, and the work that is done with them.

mod curves;
mod lattices;
mod rsa;
mod symmetric;

use crate::forms::{
    Direction, behind_a_scrub, expanded_seed, hmac_state, needle, reversed, schedule, wrap,
};
use crate::needles::Needle;
use curves::Curves;
use lattices::Lattices;
use nitride_secmem::crypto::{
    AeadAlgorithm, AeadKey, EcP256, Ed25519, HmacSha256, aes256_key_unwrap, concat_kdf_sha256,
    fill_random,
};
use nitride_secmem::{Record, SecretBuf};
pub(crate) use rsa::ROUNDS_PER_KEY;
use rsa::RsaKeys;
use symmetric::Symmetric;

/// What a vault would hold: raw material in records, the expanded keys beside it.
pub(crate) struct Secrets {
    scalar: Record,
    generated_scalar: Record,
    seed: Record,
    hmac_key: Record,
    gcm_key: Record,
    siv_key: Record,
    kek: Record,
    passphrase: Record,
    wrapped: Vec<u8>,
    peer_point: [u8; 65],
    ec: EcP256,
    generated_ec: EcP256,
    ed: Ed25519,
    hmac: HmacSha256,
    gcm: AeadKey,
    siv: AeadKey,
    symmetric: Symmetric,
    curves: Curves,
    rsa: RsaKeys,
    lattices: Lattices,
}

/// One operation, with the kept keys or with one made for the occasion; the number varies data.
type Step = fn(&Secrets, usize);

/// A computation that does not pass the door, and the beginning of its needles' names.
pub(crate) type Naked<'a> = (&'static str, Box<dyn Fn() + Sync + 'a>);

/// The operation that copies a secret outside the door.
const PROVISION: &str = "provision";

/// Each operation by its name.
pub(crate) const STEPS: [(&str, Step); 35] = [
    ("import p-256", Secrets::import_p256),
    ("sign p-256", Secrets::sign_p256),
    ("export p-256", Secrets::export_p256),
    ("agree", Secrets::agree),
    ("derive", Secrets::derive),
    ("import ed25519", Secrets::import_ed25519),
    ("sign ed25519", Secrets::sign_ed25519),
    ("import ciphers", Secrets::import_ciphers),
    ("encrypt", Secrets::encrypt),
    ("decrypt", Secrets::decrypt),
    ("import hmac", Secrets::import_hmac),
    ("mac", Secrets::mac),
    (PROVISION, Secrets::provision),
    ("import further ciphers", |all, _| all.symmetric.import()),
    ("use further ciphers", |all, round| {
        all.symmetric.seal(round);
    }),
    ("long mac", |all, round| all.symmetric.mac(round)),
    ("wrap", |all, _| all.symmetric.wrap()),
    ("unwrap", |all, _| all.symmetric.unwrap()),
    ("seal keys", |all, _| all.seal_keys()),
    ("expand", |all, _| all.symmetric.derive()),
    ("import curves", |all, _| all.curves.import()),
    ("export curves", |all, _| all.curves.export()),
    ("import curves' files", |all, _| all.curves.import_files()),
    ("sign on curves", |all, round| all.curves.sign(round)),
    ("agree on curves", |all, _| all.curves.agree()),
    ("generate on curves", |_, _| Curves::generate()),
    ("import rsa", |all, _| all.rsa.import()),
    ("export rsa", |all, _| all.rsa.export()),
    ("sign rsa", |all, round| all.rsa.sign(round)),
    ("decrypt rsa", |all, _| all.rsa.decrypt()),
    ("generate rsa", |_, round| RsaKeys::generate(round)),
    ("import lattices", |all, _| all.lattices.import()),
    ("sign ml-dsa", |all, round| all.lattices.sign(round)),
    ("encapsulate", |all, _| all.lattices.encapsulate()),
    ("decapsulate", |all, _| all.lattices.decapsulate()),
];

fn message(round: usize) -> Vec<u8> {
    vec![0x6d; 1 + round * 37 % 3000]
}

fn sealed(key: &AeadKey, round: usize) -> ([u8; 12], Vec<u8>) {
    let nonce = [u8::try_from(round % 256).unwrap(); 12];
    let message = message(round);
    let mut sealed = vec![0; message.len() + 16];
    key.seal(&nonce, &[b"a", b"b"], &message, &mut sealed)
        .unwrap();
    (nonce, sealed)
}

fn drawn(len: usize) -> Record {
    Record::from_fn(len, fill_random).unwrap()
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let (scalar, seed, hmac_key) = (drawn(32), drawn(32), drawn(32));
        let (gcm_key, siv_key, kek, passphrase) = (drawn(32), drawn(32), drawn(32), drawn(40));
        let generated_ec = EcP256::generate().unwrap();
        let generated_scalar = Record::from_fn(32, |out| {
            generated_ec.scalar_into(out.try_into().unwrap());
        })
        .unwrap();
        Self {
            wrapped: wrap(&kek, &passphrase),
            peer_point: EcP256::generate().unwrap().public_point(),
            ec: EcP256::from_scalar(scalar.expose()).unwrap(),
            ed: Ed25519::from_seed(seed.expose()).unwrap(),
            hmac: HmacSha256::new(hmac_key.expose()).unwrap(),
            gcm: AeadKey::new(AeadAlgorithm::Aes256Gcm, gcm_key.expose()).unwrap(),
            siv: AeadKey::new(AeadAlgorithm::Aes256GcmSiv, siv_key.expose()).unwrap(),
            scalar,
            generated_scalar,
            seed,
            hmac_key,
            gcm_key,
            siv_key,
            kek,
            passphrase,
            generated_ec,
            symmetric: Symmetric::new(),
            curves: Curves::new(),
            rsa: RsaKeys::new(),
            lattices: Lattices::new(),
        }
    }

    /// Every operation once, with the kept keys and with keys made for the occasion.
    pub(crate) fn work(&self, round: usize) {
        self.compute(round);
        self.provision(round);
    }

    /// Every operation that copies nothing from one secret to another outside the door, where a
    /// thread that takes signals may be interrupted with a secret in its vector registers.
    pub(crate) fn compute(&self, round: usize) {
        for (name, step) in STEPS {
            if name != PROVISION {
                step(self, round);
            }
        }
    }

    /// Computations that do not pass the door, and so are on the ordinary stack while they run.
    pub(crate) fn in_the_open(&self) -> [Naked<'_>; 5] {
        [
            ("ed25519", Box::new(|| self.expand_ed25519())),
            ("x25519", Box::new(|| self.curves.agree_in_the_open())),
            ("hkdf", Box::new(|| self.symmetric.derive_in_the_open())),
            (
                "ml-dsa",
                Box::new(|| self.lattices.expand_in_the_open(false)),
            ),
            (
                "ml-kem",
                Box::new(|| self.lattices.expand_in_the_open(true)),
            ),
        ]
    }

    fn expand_ed25519(&self) {
        let (mut public, mut private) = ([0; 32], SecretBuf::with_len(64).unwrap());
        behind_a_scrub(|| {
            // SAFETY: 32 and 64 bytes are written and 32 are read, as the buffers have.
            unsafe {
                aws_lc_sys::ED25519_keypair_from_seed(
                    public.as_mut_ptr(),
                    private.expose_mut().as_mut_ptr(),
                    self.seed.expose().as_ptr(),
                );
            }
        });
    }

    fn import_p256(&self, _: usize) {
        drop(EcP256::from_scalar(self.scalar.expose()).unwrap());
        assert!(EcP256::from_scalar(&self.scalar.expose()[..31]).is_err());
    }

    fn sign_p256(&self, round: usize) {
        self.ec.sign(&message(round)).unwrap();
        self.generated_ec.sign(&message(round)).unwrap();
    }

    fn export_p256(&self, _: usize) {
        for key in [&self.ec, &self.generated_ec] {
            let mut exported = SecretBuf::with_len(32).unwrap();
            key.scalar_into(exported.expose_mut().try_into().unwrap());
        }
    }

    fn agree(&self, _: usize) {
        drop(self.ec.ecdh(&self.peer_point).unwrap());
    }

    fn derive(&self, _: usize) {
        let shared = self.ec.ecdh(&self.peer_point).unwrap();
        let derived = concat_kdf_sha256(&[&shared], b"other info").unwrap();
        drop(AeadKey::new(AeadAlgorithm::Aes256Gcm, derived.expose()).unwrap());
    }

    fn import_ed25519(&self, _: usize) {
        drop(Ed25519::from_seed(self.seed.expose()).unwrap());
    }

    fn sign_ed25519(&self, round: usize) {
        self.ed.sign(&message(round)).unwrap();
    }

    fn import_ciphers(&self, _: usize) {
        drop(AeadKey::new(AeadAlgorithm::Aes256Gcm, self.gcm_key.expose()).unwrap());
        drop(AeadKey::new(AeadAlgorithm::Aes256GcmSiv, self.siv_key.expose()).unwrap());
    }

    fn encrypt(&self, round: usize) {
        for key in [&self.gcm, &self.siv] {
            drop(sealed(key, round));
        }
    }

    fn decrypt(&self, round: usize) {
        for key in [&self.gcm, &self.siv] {
            let (nonce, sealed) = sealed(key, round);
            let mut opened = vec![0; sealed.len() - 16];
            key.open(&nonce, &[b"ab"], &sealed, &mut opened).unwrap();
            assert!(key.open(&nonce, &[b"x"], &sealed, &mut opened).is_err());
        }
    }

    /// A key is the plaintext here.
    fn seal_keys(&self) {
        let mut sealed = vec![0; self.passphrase.len() + 16];
        for key in [&self.gcm, &self.siv] {
            key.seal(&[8; 12], &[], self.passphrase.expose(), &mut sealed)
                .unwrap();
        }
        self.symmetric.seal_key(&self.passphrase);
        self.rsa.seal_key();
    }

    fn import_hmac(&self, _: usize) {
        drop(HmacSha256::new(self.hmac_key.expose()).unwrap());
    }

    fn mac(&self, round: usize) {
        let tag = self.hmac.tag(&message(round)).unwrap();
        assert!(self.hmac.verify(&message(round), &tag).unwrap());
    }

    fn provision(&self, _: usize) {
        let unwrapped = aes256_key_unwrap(self.kek.expose(), &self.wrapped).unwrap();
        assert!(self.passphrase.ct_eq(unwrapped.expose()));
        drop(Record::new(unwrapped.expose()).unwrap());
        assert!(aes256_key_unwrap(self.kek.expose(), &[7; 40]).is_err());
    }

    /// A key where it must not be, if `place` is, written there behind the door.
    pub(crate) fn leak_through_the_door(&self, place: &mut [u8; 32]) {
        self.generated_ec.scalar_into(place);
    }

    /// A copy of a key where it must not be.
    pub(crate) fn leak(&self) -> Vec<u8> {
        self.gcm_key.expose().to_vec()
    }

    /// What is kept in the arenas as long as the keys are, in the form that it has there.
    pub(crate) fn kept(&self) -> Vec<Needle> {
        let mut needles = vec![
            needle("scalar", self.scalar.expose()),
            needle("generated scalar", self.generated_scalar.expose()),
            needle("ed25519 seed", self.seed.expose()),
            needle("hmac key", self.hmac_key.expose()),
            needle("gcm key", self.gcm_key.expose()),
            needle("siv key", self.siv_key.expose()),
            needle("kek", self.kek.expose()),
            needle("passphrase", self.passphrase.expose()),
            // Limbs, least significant first.
            reversed("scalar", self.scalar.expose()),
            reversed("generated scalar", self.generated_scalar.expose()),
        ];
        for (name, pad) in [("hmac inner state", 0x36), ("hmac outer state", 0x5c)] {
            let state = hmac_state(&self.hmac_key, pad);
            needles.push(needle(name, state.expose()));
        }
        for (name, key) in [("gcm", &self.gcm_key), ("siv", &self.siv_key)] {
            let schedule = schedule(key, Direction::Encrypt);
            needles.push(needle(
                &format!("{name} rounds 2, 3"),
                &schedule.expose()[32..64],
            ));
            needles.push(needle(
                &format!("{name} rounds 13, 14"),
                &schedule.expose()[208..240],
            ));
        }
        needles.extend(self.symmetric.kept());
        needles.extend(self.curves.kept());
        needles.extend(self.rsa.kept());
        needles.extend(self.lattices.kept());
        needles
    }

    /// What is there only while an operation runs, and the same in other byte orders.
    pub(crate) fn passing(&self) -> Vec<Needle> {
        let mut needles = vec![
            reversed("ed25519 seed", self.seed.expose()),
            reversed("hmac key", self.hmac_key.expose()),
            reversed("gcm key", self.gcm_key.expose()),
            reversed("siv key", self.siv_key.expose()),
            reversed("kek", self.kek.expose()),
            reversed("passphrase", self.passphrase.expose()),
        ];
        let shared = self.ec.ecdh(&self.peer_point).unwrap();
        needles.push(needle("shared secret", shared.expose()));
        needles.push(reversed("shared secret", shared.expose()));
        let derived = concat_kdf_sha256(&[&shared], b"other info").unwrap();
        needles.push(needle("derived key", derived.expose()));
        let unwrapping = schedule(&self.kek, Direction::Decrypt);
        needles.push(needle(
            "kek, inverse rounds 1, 2",
            &unwrapping.expose()[16..48],
        ));
        needles.push(needle(
            "kek, inverse rounds 7, 8",
            &unwrapping.expose()[112..144],
        ));
        for (name, pad) in [("hmac inner state", 0x36), ("hmac outer state", 0x5c)] {
            let state = hmac_state(&self.hmac_key, pad);
            needles.push(Needle::new(
                format!("{name}, big-endian words"),
                state
                    .expose()
                    .chunks(4)
                    .flat_map(|word| word.iter().rev().copied()),
            ));
        }
        for (name, key) in [("gcm", &self.gcm_key), ("siv", &self.siv_key)] {
            let schedule = schedule(key, Direction::Encrypt);
            for round in [2, 14] {
                let words = schedule.expose()[16 * round..][..16].chunks(4);
                needles.push(Needle::new(
                    format!("{name} round {round}, big-endian words"),
                    words.flat_map(|word| word.iter().rev().copied()),
                ));
            }
        }
        let expanded = expanded_seed(&self.seed);
        needles.push(needle("ed25519 scalar", &expanded.expose()[..32]));
        needles.push(needle("ed25519 prefix", &expanded.expose()[32..]));
        needles.extend(self.symmetric.passing());
        needles.extend(self.curves.passing());
        needles.extend(self.rsa.passing());
        needles.extend(self.lattices.passing());
        needles
    }
}
