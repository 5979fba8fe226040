# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vhsm_global_optspecs
    string join \n socket= admin-socket= admin wait= json h/help V/version
end

function __fish_vhsm_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vhsm_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vhsm_using_subcommand
    set -l cmd (__fish_vhsm_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vhsm -n "__fish_vhsm_needs_command" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_needs_command" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_needs_command" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_needs_command" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_needs_command" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_needs_command" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_needs_command" -s V -l version -d 'Print version'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "generate" -d 'Have the vault draw a new key'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "import" -d 'Give the vault a key\'s material, raw or in PKCS#8, plain or wrapped'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "describe" -d 'Print what a key is and which versions it has'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "list" -d 'Print the keys that you may list'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "public-key" -d 'Print a key\'s public half'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "sign" -d 'Sign a message'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "verify" -d 'Check a signature'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "encrypt" -d 'Encrypt data of any length'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "decrypt" -d 'Decrypt what encrypt made'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "mac" -d 'Make a message authentication code'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "verify-mac" -d 'Check a message authentication code'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "random" -d 'Draw random bytes from the vault\'s generator'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "release" -d 'Write out a secret\'s bytes, where policy lets you have them'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "enable" -d 'Make a key or a version usable again'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "disable" -d 'Make a key or a version unusable until it is enabled'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "destroy" -d 'Erase the material of a key or a version, for good'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "status" -d 'Print how the vault is'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "reload" -d 'Have vhsmd read its policy anew'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "wrap" -d 'Encrypt a key under another one that wraps'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "unwrap" -d 'Make a key of what wrap gave'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "derive" -d 'Make a key of another one by HKDF'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "agree" -d 'Make a key of a Diffie-Hellman agreement'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "encapsulate" -d 'Make a key of a fresh shared secret, and write the ciphertext that gives it again'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "decapsulate" -d 'Make a key of the shared secret in a ciphertext'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "rotate" -d 'Add a version to a key, which protects from here on'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "set-policy" -d 'Change a key\'s own policy; what is not named stays'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "attest" -d 'Print fresh evidence of the TEE over at most 64 bytes of data'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "audit-head" -d 'Print the newest entry of the audit\'s chain'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "why" -d 'Print why a request was refused, by the numbers in the log'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "wipe" -d 'Erase every key, for good; vhsmd ends, and a service manager starts it anew'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "end-phase" -d 'Leave the phase of the boot that vhsmd belongs to: its end is measured, the keys end unless the configuration and the protection keep them, and vhsmd serves nobody any more'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "backup" -d 'Write a backup, sealed to a recipient that vhsmd\'s configuration pins'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "restore" -d 'Give back what backup wrote'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "policy" -d 'Check a policy file, or explain a decision'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "csr" -d 'Write a certificate request (PKCS#10) that a key signs'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "audit" -d 'Read the audit\'s files: verify, tail'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "metrics" -d 'Print vhsmd\'s figures, in OpenMetrics'
complete -c vhsm -n "__fish_vhsm_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l type -d 'What it is made of' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l operations -d 'What it may be used for; without this, all that its type can do' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l wrappable-by -d 'The wrapping keys that may wrap it; without this, none' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand generate" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l type -d 'What it is made of' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l operations -d 'What it may be used for; without this, all that its type can do' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l format -d 'The form: the raw bytes of a symmetric key, a scalar, a seed or a secret, or PKCS#8 in DER' -r -f -a "raw\t''
pkcs8\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l wrapping-key -d 'The vault\'s key under which the material is wrapped by AES-KWP; without this it is plain' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l wrappable-by -d 'The wrapping keys that may wrap it; without this, none' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand import" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand describe" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l limit -d 'Print no more than so many' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand list" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l format -d 'In which form' -r -f -a "der\t'SubjectPublicKeyInfo in DER'
pem\t'The same as PEM'
jwk\t'JSON Web Key'
openssh\t'A line of authorized_keys'"
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand public-key" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l scheme -d 'The signature\'s form; without it, the default of the key\'s type' -r -f -a "ecdsa-sha256\t''
ecdsa-sha256-der\t''
ecdsa-sha384\t''
ecdsa-sha384-der\t''
ecdsa-sha512\t''
ecdsa-sha512-der\t''
ed25519\t''
rsa-pss-sha256\t''
rsa-pss-sha384\t''
rsa-pss-sha512\t''
rsa-pkcs1-sha256\t''
rsa-pkcs1-sha384\t''
rsa-pkcs1-sha512\t''
ml-dsa-65\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l prehashed -d 'The input is the message\'s digest by the scheme\'s hash; not for Ed25519 and ML-DSA'
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand sign" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l scheme -d 'The signature\'s form; without it, the default of the key\'s type' -r -f -a "ecdsa-sha256\t''
ecdsa-sha256-der\t''
ecdsa-sha384\t''
ecdsa-sha384-der\t''
ecdsa-sha512\t''
ecdsa-sha512-der\t''
ed25519\t''
rsa-pss-sha256\t''
rsa-pss-sha384\t''
rsa-pss-sha512\t''
rsa-pkcs1-sha256\t''
rsa-pkcs1-sha384\t''
rsa-pkcs1-sha512\t''
ml-dsa-65\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l signature -d 'The signature\'s file' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l prehashed -d 'The input is the message\'s digest by the scheme\'s hash; not for Ed25519 and ML-DSA'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l scheme -d 'How an RSA key encrypts; other types take none' -r -f -a "rsa-oaep-sha256\t''
rsa-oaep-sha384\t''
rsa-oaep-sha512\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l aad -d 'A file with additional data that is authenticated and not encrypted' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand encrypt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l scheme -d 'How an RSA key encrypts; other types take none' -r -f -a "rsa-oaep-sha256\t''
rsa-oaep-sha384\t''
rsa-oaep-sha512\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l nonce -d 'A file with the 12-byte nonce of a ciphertext that another program made and that has no header; for imported and provisioned keys' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l aad -d 'A file with additional data that is authenticated and not encrypted' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand decrypt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand mac" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l tag -d 'The code\'s file' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand verify-mac" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand random" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand release" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand enable" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand disable" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand destroy" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand status" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand reload" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l wrapping-key -d 'The wrapping key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand wrap" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l type -d 'What it must be' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l wrapping-key -d 'The wrapping key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand unwrap" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l new-key -d 'The new key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l type -d 'What it is' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l operations -d 'What it may be used for; without this, all that its type can do and its parent allows' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l info -d 'A file with what tells this key from others of the same parent (HKDF\'s info)' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l salt -d 'A file with HKDF\'s salt, at most 64 bytes' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand derive" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l peer-public -d 'A file with the other side\'s public key: PEM, DER, or the raw point' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l new-key -d 'The new key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l type -d 'What it is' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l operations -d 'What it may be used for; without this, all that its type can do and its parent allows' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l info -d 'A file with what tells this key from others of the same parent (HKDF\'s info)' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l salt -d 'A file with HKDF\'s salt, at most 64 bytes' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand agree" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l new-key -d 'The new key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l type -d 'What it is' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l operations -d 'What it may be used for; without this, all that its type can do and its parent allows' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l info -d 'A file with what tells this key from others of the same parent (HKDF\'s info)' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand encapsulate" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l key-version -d 'A version; without it the newest not destroyed, or the key as a whole' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l new-key -d 'The new key\'s name' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l type -d 'What it is' -r -f -a "aes-128-gcm\t''
aes-256-gcm\t''
aes-256-gcm-siv\t''
chacha20-poly1305\t''
aes-256-kwp\t''
hmac-sha256\t''
hmac-sha384\t''
hmac-sha512\t''
ec-p256\t''
ec-p384\t''
ec-p521\t''
ed25519\t''
x25519\t''
rsa-2048\t''
rsa-3072\t''
rsa-4096\t''
ml-dsa-65\t''
ml-kem-768\t''
secret\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l operations -d 'What it may be used for; without this, all that its type can do and its parent allows' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l info -d 'A file with what tells this key from others of the same parent (HKDF\'s info)' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand decapsulate" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand rotate" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l operations -d 'What it may be used for' -r -f -a "hello\t''
generate\t''
import\t''
describe\t''
list\t''
public-key\t''
sign\t''
verify\t''
encrypt\t''
decrypt\t''
mac\t''
verify-mac\t''
random\t''
release\t''
enable\t''
disable\t''
destroy\t''
status\t''
reload\t''
wrap\t''
unwrap\t''
derive\t''
agree\t''
encapsulate\t''
decapsulate\t''
rotate\t''
set-policy\t''
attest\t''
audit-head\t''
batch\t''
register-buffer\t''
encrypt-buffer\t''
decrypt-buffer\t''
check-policy\t''
explain\t''
why\t''
wipe\t''
backup\t''
restore\t''
end-phase\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l max-uses -d 'How often it may be used, all versions together' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l not-before -d 'When its time begins, in seconds since 1970' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l not-after -d 'When its time ends, in seconds since 1970' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l rate -d 'How often each peer may use it, as in 100/60: a hundred uses in sixty seconds' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l wrappable-by -d 'The wrapping keys that may wrap it' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l min-version -d 'The oldest version that still opens and verifies' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l not-wrappable -d 'No key may wrap it'
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand set-policy" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l audit-head -d 'Over the newest entry of the audit too, which takes the right to audit-head; audit verify --attested checks it'
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand attest" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit-head" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand why" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l yes -d 'Really'
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand wipe" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l protection -d 'What keeps the root that comes next from being changed' -r -f -a "none\t''
integrity\t''
verity\t''"
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand end-phase" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand backup" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l in -d 'The data\'s file; without it, standard input' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand restore" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -f -a "check" -d 'Print what is wrong with a policy file, without taking it (check-policy)'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -f -a "explain" -d 'Print whether a peer would be allowed an operation on a key, and why (explain)'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and not __fish_seen_subcommand_from check explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l peer -d 'Who would ask: uid=1000, gid=1000, unit=web.service, cgroup=/a/b or sha256=HEX' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Print what is wrong with a policy file, without taking it (check-policy)'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Print whether a peer would be allowed an operation on a key, and why (explain)'
complete -c vhsm -n "__fish_vhsm_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l subject -d 'The subject, as in "CN=web.example.org,O=Example"' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l san -d 'Names that the certificate is to hold, as DNS names or addresses' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l out -d 'The result\'s file, written as a whole with mode 0600; without it, standard output' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l der -d 'Write DER instead of PEM'
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l force-terminal -d 'Write secrets and raw bytes to a terminal, too'
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand csr" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -f -a "verify" -d 'Check that no entry was changed, taken out or put in'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -f -a "tail" -d 'Print the newest entries, after checking all of them'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and not __fish_seen_subcommand_from verify tail help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l head -d 'An entry that has to be among them, as audit-head printed it: its number and its digest' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l witnessed -d 'Many of them, one a line, as nitride-provisiond audit heads --machine prints what the service witnessed; those older than the files are counted' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l attested -d 'The same, as attest --audit-head --json printed it; its report data is checked too, and the evidence is left to a verifier' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l data -d 'The data that attest was given; without this, none' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l limit -d 'Print no more than so many' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l follow -d 'Go on printing entries as they come, each checked; with --json, one object a line'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from tail" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Check that no entry was changed, taken out or put in'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from help" -f -a "tail" -d 'Print the newest entries, after checking all of them'
complete -c vhsm -n "__fish_vhsm_using_subcommand audit; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l metrics-socket -d 'The metrics socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l socket -d 'The application socket' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l admin-socket -d 'The admin socket, which import, destroy, rotate, set-policy and the like use' -r -F
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l wait -d 'How many seconds vhsmd may wait for a key or an approval to arrive; 0 is not at all' -r
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l admin -d 'Use the admin socket also for describe, list, enable, disable, status and audit-head'
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -l json -d 'Print JSON, also for errors'
complete -c vhsm -n "__fish_vhsm_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "generate" -d 'Have the vault draw a new key'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "import" -d 'Give the vault a key\'s material, raw or in PKCS#8, plain or wrapped'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "describe" -d 'Print what a key is and which versions it has'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "list" -d 'Print the keys that you may list'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "public-key" -d 'Print a key\'s public half'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "sign" -d 'Sign a message'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "verify" -d 'Check a signature'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "encrypt" -d 'Encrypt data of any length'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "decrypt" -d 'Decrypt what encrypt made'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "mac" -d 'Make a message authentication code'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "verify-mac" -d 'Check a message authentication code'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "random" -d 'Draw random bytes from the vault\'s generator'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "release" -d 'Write out a secret\'s bytes, where policy lets you have them'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "enable" -d 'Make a key or a version usable again'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "disable" -d 'Make a key or a version unusable until it is enabled'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "destroy" -d 'Erase the material of a key or a version, for good'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "status" -d 'Print how the vault is'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "reload" -d 'Have vhsmd read its policy anew'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "wrap" -d 'Encrypt a key under another one that wraps'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "unwrap" -d 'Make a key of what wrap gave'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "derive" -d 'Make a key of another one by HKDF'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "agree" -d 'Make a key of a Diffie-Hellman agreement'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "encapsulate" -d 'Make a key of a fresh shared secret, and write the ciphertext that gives it again'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "decapsulate" -d 'Make a key of the shared secret in a ciphertext'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "rotate" -d 'Add a version to a key, which protects from here on'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "set-policy" -d 'Change a key\'s own policy; what is not named stays'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "attest" -d 'Print fresh evidence of the TEE over at most 64 bytes of data'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "audit-head" -d 'Print the newest entry of the audit\'s chain'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "why" -d 'Print why a request was refused, by the numbers in the log'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "wipe" -d 'Erase every key, for good; vhsmd ends, and a service manager starts it anew'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "end-phase" -d 'Leave the phase of the boot that vhsmd belongs to: its end is measured, the keys end unless the configuration and the protection keep them, and vhsmd serves nobody any more'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "backup" -d 'Write a backup, sealed to a recipient that vhsmd\'s configuration pins'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "restore" -d 'Give back what backup wrote'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "policy" -d 'Check a policy file, or explain a decision'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "csr" -d 'Write a certificate request (PKCS#10) that a key signs'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "audit" -d 'Read the audit\'s files: verify, tail'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "metrics" -d 'Print vhsmd\'s figures, in OpenMetrics'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and not __fish_seen_subcommand_from generate import describe list public-key sign verify encrypt decrypt mac verify-mac random release enable disable destroy status reload wrap unwrap derive agree encapsulate decapsulate rotate set-policy attest audit-head why wipe end-phase backup restore policy csr audit metrics help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Print what is wrong with a policy file, without taking it (check-policy)'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'Print whether a peer would be allowed an operation on a key, and why (explain)'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and __fish_seen_subcommand_from audit" -f -a "verify" -d 'Check that no entry was changed, taken out or put in'
complete -c vhsm -n "__fish_vhsm_using_subcommand help; and __fish_seen_subcommand_from audit" -f -a "tail" -d 'Print the newest entries, after checking all of them'
