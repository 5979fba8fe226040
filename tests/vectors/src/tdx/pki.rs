//! Certificates and revocation lists in the shape of Intel's.

use anyhow::anyhow;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// The platform that the PCK certificate names.
pub const PLATFORM_INSTANCE: [u8; 16] = [0x11; 16];
/// Its kind.
pub const FMSPC: [u8; 6] = [0xb0, 0xc0, 0x6f, 0, 0, 0];

/// What certificates and revocation lists say, and who signs them.
#[derive(Debug, Clone)]
pub struct PkiSpec {
    /// The policy pins a root, and it is not this one.
    pub pins_another_root: bool,
    /// Somebody else with the name of the Platform CA issued the PCK certificate.
    pub pck_by_another: bool,
    /// The last year of the PCK certificate.
    pub pck_until: i32,
    /// Somebody else with the root's name signed its revocation list.
    pub root_crl_by_another: bool,
    /// The month of 2026 in which the root's revocation list is made.
    pub root_crl_from: u8,
    /// The month in which the root's revocation list runs out.
    pub root_crl_until: u8,
    /// Somebody else with the Platform CA's name signed its revocation list.
    pub pck_crl_by_another: bool,
    /// The month of 2026 in which the PCK revocation list is made.
    pub pck_crl_from: u8,
    /// The month in which the PCK revocation list runs out.
    pub pck_crl_until: u8,
    /// The year in which both revocation lists run out.
    pub crls_until_year: i32,
    /// The PCK certificate is revoked.
    pub revokes_pck: bool,
    /// The Platform CA's certificate is revoked.
    pub revokes_authority: bool,
    /// What the Platform CA is called.
    pub authority_name: &'static str,
    /// The certificate of serial number 4 is revoked, which is that of the signer of TCB information
    /// and QE identity unless `signer_serial` says otherwise.
    pub revokes_signer: bool,
    /// That signer's serial number.
    pub signer_serial: u64,
    /// The kind of platform.
    pub fmspc: [u8; 6],
    /// The provisioning enclave's id.
    pub pce_id: [u8; 2],
    /// The type of SGX: 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u8,
    /// The SGX components.
    pub cpu_svn: [u8; 16],
    /// The provisioning enclave's version.
    pub pce_svn: u8,
    /// The platform.
    pub platform_instance: [u8; 16],
    /// Simultaneous multithreading.
    pub smt: bool,
    /// Whether packages can be added.
    pub dynamic_platform: bool,
    /// Whether Intel keeps the root keys.
    pub cached_keys: bool,
}

impl PkiSpec {
    /// All in order.
    #[must_use]
    pub fn good() -> Self {
        Self {
            pins_another_root: false,
            pck_by_another: false,
            pck_until: 2033,
            root_crl_by_another: false,
            root_crl_from: 1,
            root_crl_until: 12,
            pck_crl_by_another: false,
            pck_crl_from: 1,
            pck_crl_until: 12,
            crls_until_year: 2026,
            revokes_pck: false,
            revokes_authority: false,
            authority_name: "Intel SGX PCK Platform CA",
            revokes_signer: false,
            signer_serial: 4,
            fmspc: FMSPC,
            pce_id: [0, 0],
            sgx_type: 1,
            cpu_svn: [3; 16],
            pce_svn: 13,
            platform_instance: PLATFORM_INSTANCE,
            smt: true,
            dynamic_platform: false,
            cached_keys: true,
        }
    }
}

/// A key that signs certificates, and everything else as `r || s`.
#[derive(Debug)]
pub struct Key {
    certificates: KeyPair,
    fixed: EcdsaKeyPair,
}

impl Key {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the library cannot.
    pub fn make() -> anyhow::Result<Self> {
        let failed = |_| anyhow!("make a P-256 key");
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).map_err(failed)?;
        let fixed = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref());
        let certificates = certificate_key(der.as_ref().to_vec())?;
        let fixed = fixed.map_err(|_| anyhow!("read a P-256 key"))?;
        Ok(Self {
            certificates,
            fixed,
        })
    }

    /// x and y.
    #[must_use]
    pub fn point(&self) -> Vec<u8> {
        self.fixed
            .public_key()
            .as_ref()
            .iter()
            .skip(1)
            .copied()
            .collect()
    }

    /// r and s over `message`.
    ///
    /// # Errors
    ///
    /// When the library cannot.
    pub fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let signature = self.fixed.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| anyhow!("sign"))?.as_ref().to_vec())
    }
}

/// The PKI, ready to sign.
#[derive(Debug)]
pub struct Pki {
    /// The root, in DER.
    pub root: Vec<u8>,
    /// PCK, Platform CA and root, PEM.
    pub pck_chain: String,
    /// The PCK.
    pub pck: Key,
    /// The signer of TCB information and QE identity.
    pub signer: Key,
    /// Its chain, PEM.
    pub signer_chain: String,
    /// The root's revocation list, in DER.
    pub root_crl: Vec<u8>,
    /// The Platform CA's revocation list, in DER.
    pub pck_crl: Vec<u8>,
    /// The Platform CA's chain, PEM.
    pub pck_crl_chain: String,
}

impl Pki {
    /// Makes keys, certificates and lists.
    ///
    /// # Errors
    ///
    /// When the library cannot.
    pub fn make(spec: &PkiSpec) -> anyhow::Result<Self> {
        let (root_key, authority_key, pck, signer) =
            (Key::make()?, Key::make()?, Key::make()?, Key::make()?);
        let another = Key::make()?;
        let root_params = authority("Intel SGX Root CA", 1);
        let root = root_params.self_signed(&root_key.certificates)?;
        let root_issuer = Issuer::new(root_params.clone(), &root_key.certificates);
        let authority_params = authority(spec.authority_name, 2);
        let authority = authority_params.signed_by(&authority_key.certificates, &root_issuer)?;
        let by = |another_signs: bool, params: &CertificateParams, key: &Key| {
            let key = if another_signs { &another } else { key };
            let key = certificate_key(key.certificates.serialize_der());
            key.map(|key| Issuer::new(params.clone(), key))
        };
        let pck_issuer = by(spec.pck_by_another, &authority_params, &authority_key)?;
        let pck_certificate = pck_params(spec).signed_by(&pck.certificates, &pck_issuer)?;
        let signer_certificate = named("Intel SGX TCB Signing", spec.signer_serial)
            .signed_by(&signer.certificates, &root_issuer)?;
        let mut revoked = Vec::new();
        revoked.extend(spec.revokes_authority.then_some(2));
        revoked.extend(spec.revokes_signer.then_some(4));
        let until = (spec.crls_until_year, spec.root_crl_until);
        let crl_issuer = by(spec.root_crl_by_another, &root_params, &root_key)?;
        let root_crl = crl(&revoked, spec.root_crl_from, until).signed_by(&crl_issuer)?;
        let revoked: Vec<u64> = spec.revokes_pck.then_some(3).into_iter().collect();
        let crl_issuer = by(spec.pck_crl_by_another, &authority_params, &authority_key)?;
        let until = (spec.crls_until_year, spec.pck_crl_until);
        let pck_crl = crl(&revoked, spec.pck_crl_from, until).signed_by(&crl_issuer)?;
        let chain = |certificates: &[&Certificate]| {
            certificates
                .iter()
                .map(|c| c.pem())
                .collect::<Vec<_>>()
                .concat()
        };
        Ok(Self {
            root: root.der().to_vec(),
            pck_chain: chain(&[&pck_certificate, &authority, &root]),
            pck,
            signer,
            signer_chain: chain(&[&signer_certificate, &root]),
            root_crl: root_crl.der().to_vec(),
            pck_crl: pck_crl.der().to_vec(),
            pck_crl_chain: chain(&[&authority, &root]),
        })
    }
}

fn certificate_key(pkcs8: Vec<u8>) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ECDSA_P256_SHA256)
}

fn named(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    params.serial_number = Some(SerialNumber::from(serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Nitride test PKI");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn authority(name: &str, serial: u64) -> CertificateParams {
    let mut params = named(name, serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A list from a month of 2026 until a year and a month of it.
fn crl(
    revoked: &[u64],
    from_month: u8,
    (until_year, until_month): (i32, u8),
) -> CertificateRevocationListParams {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    CertificateRevocationListParams {
        this_update: date_time_ymd(2026, from_month, 1),
        next_update: date_time_ymd(until_year, until_month, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

fn pck_params(spec: &PkiSpec) -> CertificateParams {
    let mut params = named("Intel SGX PCK Certificate", 3);
    params.not_after = date_time_ymd(spec.pck_until, 1, 1);
    // Intel's "SGX PCK Certificate and CRL profile", section 1.3.5.
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &[1, 2, 840, 113_741, 1, 13, 1],
        extension(spec),
    )];
    params
}

/// DER of the members of 1.2.840.113741.1.13.1 before their last arcs.
const ARC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

fn extension(spec: &PkiSpec) -> Vec<u8> {
    let octets = |value: &[u8]| tlv(0x04, value);
    let boolean = |value: bool| tlv(0x01, &[if value { 0xff } else { 0 }]);
    let components = (1u8..).zip(&spec.cpu_svn);
    let mut tcb: Vec<u8> = components
        .flat_map(|(index, svn)| member(&[2, index], &tlv(0x02, &[*svn])))
        .collect();
    tcb.extend(member(&[2, 17], &tlv(0x02, &[spec.pce_svn])));
    tcb.extend(member(&[2, 18], &octets(&spec.cpu_svn)));
    let flags = [
        member(&[7, 1], &boolean(spec.dynamic_platform)),
        member(&[7, 2], &boolean(spec.cached_keys)),
        member(&[7, 3], &boolean(spec.smt)),
    ];
    let members = [
        member(&[1], &octets(&[0x22; 16])),
        member(&[2], &tlv(0x30, &tcb)),
        member(&[3], &octets(&spec.pce_id)),
        member(&[4], &octets(&spec.fmspc)),
        member(&[5], &tlv(0x0a, &[spec.sgx_type])),
        member(&[6], &octets(&spec.platform_instance)),
        member(&[7], &tlv(0x30, &flags.concat())),
    ];
    tlv(0x30, &members.concat())
}

fn member(arcs: &[u8], value: &[u8]) -> Vec<u8> {
    let oid = tlv(0x06, &[ARC, arcs].concat());
    tlv(0x30, &[oid, value.to_vec()].concat())
}

/// Tag, length and value (X.690, 8.1), of at most 65,535 bytes.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap_or_default().to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    out.extend(value);
    out
}
