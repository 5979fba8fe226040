#!/usr/bin/env python3
"""Makes tee-keys.json and a jwe-*.json for each form of TEE key besides P-256: a second implementation
of all of them. Curves and AES are of Python's `cryptography`; encapsulation (FIPS 203), KMAC256
(NIST SP 800-185) and OAEP (RFC 8017, 7.1.1) are written out here, since a library draws its own
randomness and these files are the same on every run. What was encapsulated is decapsulated with the
library, as a check. The keys protect nothing.

    python3 generate_tee_keys.py      # in this folder
"""
import hashlib
import struct
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from generate import b64, compact

PLAINTEXT = b"a resource, not an envelope"
CEK, IV = bytes(range(32)), bytes(range(12))
Q, N, K = 3329, 256, 3


# FIPS 203, K-PKE.Encrypt and ML-KEM.Encaps_internal, for k = 3, eta 2, du 10, dv 4.

def reversed_bits(number):
    return int(f"{number:07b}"[::-1], 2)


ZETAS = [pow(17, reversed_bits(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * reversed_bits(i) + 1, Q) for i in range(128)]


def ntt(f):
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def inverse_ntt(f):
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def product(f, g):
    out = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a * c + b * d * GAMMAS[i]) % Q, (a * d + b * c) % Q]
    return out


def total(*polynomials):
    return [sum(coefficients) % Q for coefficients in zip(*polynomials)]


def sample_ntt(seed):
    stream, out = hashlib.shake_128(seed).digest(2048), []
    for a, b, c in zip(stream[0::3], stream[1::3], stream[2::3]):
        out += [x for x in (a + 256 * (b % 16), b // 16 + 16 * c) if x < Q]
    return out[:N]


def sample_cbd(seed, number):
    stream = hashlib.shake_256(seed + bytes([number])).digest(128)
    bits = [byte >> i & 1 for byte in stream for i in range(8)]
    return [(bits[4 * i] + bits[4 * i + 1] - bits[4 * i + 2] - bits[4 * i + 3]) % Q for i in range(N)]


def packed(width, coefficients):
    number = sum(x << width * i for i, x in enumerate(coefficients))
    return number.to_bytes(width * N // 8, "little")


def compressed(width, f):
    return packed(width, [((x << width + 1) + Q) // (2 * Q) % (1 << width) for x in f])


def expanded(seed, ek):
    """The decapsulation key as FIPS 203 writes it, which is how some libraries take one."""
    sigma = hashlib.sha3_512(seed[:32] + bytes([K])).digest()[32:]
    secret = b"".join(packed(12, ntt(sample_cbd(sigma, i))) for i in range(K))
    return secret + ek + hashlib.sha3_256(ek).digest() + seed[32:]


def encapsulate(ek, message):
    h = hashlib.sha3_256(ek).digest()
    both = hashlib.sha3_512(message + h).digest()
    shared, r = both[:32], both[32:]
    rho = ek[384 * K:]
    numbers = [int.from_bytes(ek[384 * i:384 * (i + 1)], "little") for i in range(K)]
    t = [[number >> 12 * i & 0xFFF for i in range(N)] for number in numbers]
    y = [ntt(sample_cbd(r, i)) for i in range(K)]
    c1 = b""
    for i in range(K):
        row = [product(sample_ntt(rho + bytes([i, j])), y[j]) for j in range(K)]
        c1 += compressed(10, total(inverse_ntt(total(*row)), sample_cbd(r, K + i)))
    bits = [byte >> i & 1 for byte in message for i in range(8)]
    inner = inverse_ntt(total(*(product(t[j], y[j]) for j in range(K))))
    v = total(inner, sample_cbd(r, 2 * K), [1665 * bit for bit in bits])
    return c1 + compressed(4, v), shared


# KMAC256.

def keccak(state):
    lanes = [[int.from_bytes(state[8 * (x + 5 * y):][:8], "little") for y in range(5)] for x in range(5)]
    turn = lambda a, n: (a << n % 64 | a >> 64 - n % 64) & (1 << 64) - 1
    r = 1
    for _ in range(24):
        c = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
        d = [c[(x + 4) % 5] ^ turn(c[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[lanes[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        x, y, current = 1, 0, lanes[1][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, lanes[x][y] = lanes[x][y], turn(current, (t + 1) * (t + 2) // 2)
        for y in range(5):
            row = [lanes[x][y] for x in range(5)]
            for x in range(5):
                lanes[x][y] = row[x] ^ ~row[(x + 1) % 5] & row[(x + 2) % 5]
        for j in range(7):
            r = (r << 1 ^ (r >> 7) * 0x71) % 256
            if r & 2:
                lanes[0][0] ^= 1 << (1 << j) - 1
    return b"".join(lanes[x][y].to_bytes(8, "little") for y in range(5) for x in range(5))


def left_encode(number):
    data = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
    return bytes([len(data)]) + data


def right_encode(number):
    data = left_encode(number)
    return data[1:] + data[:1]


def block(data):
    data = left_encode(136) + data
    return data + bytes(-len(data) % 136)


def kmac256(key, message, length):
    text = lambda data: left_encode(8 * len(data)) + data
    data = block(text(b"KMAC") + text(b"")) + block(text(key)) + message + right_encode(8 * length)
    data += b"\x04"
    data += bytes(-len(data) % 136)
    data = data[:-1] + bytes([data[-1] | 0x80])
    state = bytes(200)
    for at in range(0, len(data), 136):
        taken = bytes(a ^ b for a, b in zip(state, data[at:at + 136]))
        state = keccak(taken + state[136:])
    return state[:length]


def sized(data):
    return struct.pack(">I", len(data)) + data


def concat_kdf(shared, info):
    return hashlib.sha256(struct.pack(">I", 1) + shared + info).digest()


def oaep(public, message, seed):
    numbers = public.public_numbers()
    size = public.key_size // 8
    mask = lambda data, length: b"".join(
        hashlib.sha256(data + struct.pack(">I", i)).digest() for i in range(length // 32 + 1))[:length]
    db = hashlib.sha256(b"").digest() + bytes(size - len(message) - 66) + b"\x01" + message
    db = bytes(a ^ b for a, b in zip(db, mask(seed, len(db))))
    seed = bytes(a ^ b for a, b in zip(seed, mask(db, 32)))
    number = int.from_bytes(b"\x00" + seed + db, "big")
    return pow(number, numbers.e, numbers.n).to_bytes(size, "big")


def jwe(header, encrypted_key):
    protected = b64(compact(header))
    sealed = AESGCM(CEK).encrypt(IV, PLAINTEXT, protected.encode())
    return compact({
        "protected": protected,
        "encrypted_key": b64(encrypted_key),
        "iv": b64(IV),
        "ciphertext": b64(sealed[:-16]),
        "tag": b64(sealed[-16:]),
    })


def p521():
    scalar = int.from_bytes(hashlib.shake_256(b"p521 tee").digest(64), "big")
    sender = int.from_bytes(hashlib.shake_256(b"p521 ephemeral").digest(64), "big")
    tee, sender = (ec.derive_private_key(x, ec.SECP521R1()) for x in (scalar, sender))
    words = lambda key: [getattr(key.public_key().public_numbers(), name).to_bytes(66, "big") for name in "xy"]
    x, y = words(sender)
    alg = "ECDH-ES+A256KW"
    info = sized(alg.encode()) + struct.pack(">III", 0, 0, 256)
    kek = concat_kdf(sender.exchange(ec.ECDH(), tee.public_key()), info)
    epk = {"crv": "P-521", "kty": "EC", "x": b64(x), "y": b64(y)}
    x, y = words(tee)
    jwk = {"alg": alg, "crv": "P-521", "kty": "EC", "x": b64(x), "y": b64(y)}
    return jwk, {"private": scalar.to_bytes(66, "big")}, {"alg": alg, "enc": "A256GCM", "epk": epk}, aes_key_wrap(kek, CEK)


def primes():
    """Two of 1024 bits, found from a fixed start."""
    for name in (b"p", b"q"):
        number = int.from_bytes(hashlib.shake_256(b"rsa tee " + name).digest(128), "big")
        number |= 3 << 1022 | 1
        while pow(2, number - 1, number) != 1 or pow(3, number - 1, number) != 1 or number % 65537 == 1:
            number += 2
        yield number


def rsa_oaep():
    p, q = primes()
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q))
    key = numbers.private_key()
    encrypted = oaep(key.public_key(), CEK, bytes(range(32, 64)))
    how = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    assert key.decrypt(encrypted, how) == CEK
    alg = "RSA-OAEP-256"
    jwk = {"alg": alg, "e": "AQAB", "kty": "RSA", "n": b64((p * q).to_bytes(256, "big"))}
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return jwk, {"pkcs8": der}, {"alg": alg, "enc": "A256GCM"}, encrypted


def encapsulated(name):
    seed = hashlib.shake_256(name + b" tee").digest(64)
    key = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed)
    ek = key.public_key().public_bytes_raw()
    ciphertext, shared = encapsulate(ek, hashlib.sha256(name).digest())
    assert key.decapsulate(ciphertext) == shared
    return seed, ek, ciphertext, shared


def ml_kem():
    seed, ek, ciphertext, shared = encapsulated(b"ml-kem")
    alg = "ML-KEM-768+A192KW"
    kek = kmac256(shared, sized(alg.encode()) + struct.pack(">I", 192), 24)
    header = {"alg": alg, "enc": "A256GCM", "ek": b64(ciphertext)}
    private = {"seed": seed, "expanded": expanded(seed, ek)}
    return {"alg": alg, "kty": "AKP", "pub": b64(ek)}, private, header, aes_key_wrap(kek, CEK)


def hybrid():
    seed, ek, ciphertext, from_ml_kem = encapsulated(b"hybrid")
    scalars = (hashlib.sha256(name).digest() for name in (b"hybrid tee", b"hybrid ephemeral"))
    tee, sender = (x25519.X25519PrivateKey.from_private_bytes(x) for x in scalars)
    public = ek + tee.public_key().public_bytes_raw()
    sent = ciphertext + sender.public_key().public_bytes_raw()
    alg = "nitride-X25519MLKEM768+A256KW"
    info = sized(alg.encode()) + sized(sent) + sized(public) + struct.pack(">I", 256)
    kek = concat_kdf(from_ml_kem + sender.exchange(tee.public_key()), info)
    header = {"alg": alg, "enc": "A256GCM", "ek": b64(sent)}
    jwk = {"alg": alg, "kty": "AKP", "pub": b64(public)}
    private = {"seed": seed, "expanded": expanded(seed, ek), "x25519": tee.private_bytes_raw()}
    return jwk, private, header, aes_key_wrap(kek, CEK)


if __name__ == "__main__":
    sample = kmac256(bytes(range(0x40, 0x60)), bytes(range(0xC8)), 64)
    assert sample.hex().startswith("75358cf39e41494e949707927cee0af2"), "NIST's sample 5"
    keys = {}
    for name, make in [("p521", p521), ("rsa", rsa_oaep), ("ml-kem", ml_kem), ("hybrid", hybrid)]:
        jwk, private, header, encrypted_key = make()
        keys[name] = {"jwk": compact(jwk).decode()} | {part: text.hex() for part, text in private.items()}
        with open(f"jwe-{name}.json", "wb") as file:
            file.write(jwe(header, encrypted_key) + b"\n")
    with open("tee-keys.json", "wb") as file:
        file.write(compact(keys) + b"\n")
