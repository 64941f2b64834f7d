//! Signatures are checked with the public part of keys that were made for these tests alone.

use ring::signature::{KeyPair, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};

use super::*;

const RSA: &str = "-----BEGIN PRIVATE KEY-----
MIIEuwIBADANBgkqhkiG9w0BAQEFAASCBKUwggShAgEAAoIBAQCuA2K6qymj+14Y
X4aqudMeDhaIfeDGRV4vT8eIoaUIwWWrVatWEhqaSucADj8F0Pbg0EsUR2CR5TdI
R41D1Hg/onWCKEYBbXA1LBUABbaX1hy1tDKcog/I/wiALURdSFfbess0umGPAbgF
rawJuIBpLM2u79OM+44MsykqNu3n6yTJetu3sJTsykd4CRuCcRmBPTRkoimCS3iX
PuKGbYsrwQlPF8hoF8iEnuW/LcFVkXQuCIZP/5FqV9rgD4OC9OliydsNt/jCluT6
dbnBtvfplNMiihLOqDflYjKCaLg8qaAzKsxCkwazBgy4vROvPI6AsqU12Nc9NO3u
Qhz/wqIZAgMBAAECgf9AtYQpBD8XAveq8+wIrPHzX4E/6KPzEEojmcv2ETPjicax
xPwmasJFuJQBB+gx/anlNRvpgcwnEdtz+DVMJABvnzt8VYObAbrAXRKt1Ws7YYZM
c7dZU82oyFAWRacuoQ7vge+WnRnV1kyDZj+KhRuJ5aQCl1ZK+m61CkwMo7hu+ooe
lL/a57z/LexmTnJvf1MhIVerLMMD51LPHIMlj9oYx5lpQ/dUcHWVfftOaGhKBrXY
zY4NGyunY4Vxrdawm16/ryXW9kmD0pnuAfqFJ0awMybB3IQPjpTh6DeXnVM7r9Z5
NIiDzfCSUhzI17ozNh4nk45u2Y9ZNaulWB8cDFECgYEA7q6C5dvSQRp+RA8hFXtr
3uhie+AFAqY24y4kznf259mvjymMO+1/YG+MkzanWRWewrEucKcktJ7q235G+MKa
V0zwMeWXnWQPBq2VI6Cei2eCuQdE8A2q8/OUisF/3WN/LFb4DAdxFUDyfM0wEbOB
jxF8hyCGQTtI/zUp/L41KQkCgYEAuqOqAptQAEPWhmG0TqoPIzpyxa4FKVMPQhS8
S86fDNPIXthgfVjhrbDDcbxlIggKW+J0vqadoGR4XP8HaTLQmKZDNYXlfdIOT++s
yPfqP4zjLqC93U0stpHq0wlogXDvPpnoZYI+Xkax8NSxZBfVziGUIGpc4b8m2Xf0
mu7ARJECgYAkT2QWd9SKlu8yh2KvE/GbHZst4Syh9ItREEoFJvbm2pT8oIN28nB4
SUAHfT8ELGfUkoPQG31YBP0RmypM2b4FHe1EifsAtKIcj/eqTdsQthSK9XIlWs7x
AdNNMJa1JVfJdQmTOuaXJyQ8nDJ93uMM0sow/F+wOMaoHHxguMb5kQKBgCE0tS65
i0ZAy44lG/tS7laKM5lQGML9cB2Fquqh3FJf66pUPPaQNba9WEiICEZBv/YRGExD
QJAkz/VbumnRDKPcEOEY7XexQ7KdJdSrpxWfb1wAZUdWT7o7w9fAOMOu4CH3KA3H
WmlTkp0Sem0ggH2oI76Qre3MIJFYckCOcc7BAoGBAM2byehkIUgelIOci2bCu1EL
uk+IkTQ6YRWIqLTuwR2lrhuGHmspgHPZ5DiFsk92a4sEO13oUE0vv5aCDGj0ubFY
Ruj+aBygtASGqLt8mwSo9VxHCHXMwY9VAirhaN/T6xCwVzRfUK/FjTKQOemjWFmR
1oDdPdxUu9dfbnyAUHAh
-----END PRIVATE KEY-----
";

const RSA_PKCS1: &str = "-----BEGIN RSA PRIVATE KEY-----
MIIEoQIBAAKCAQEArgNiuqspo/teGF+GqrnTHg4WiH3gxkVeL0/HiKGlCMFlq1Wr
VhIamkrnAA4/BdD24NBLFEdgkeU3SEeNQ9R4P6J1gihGAW1wNSwVAAW2l9YctbQy
nKIPyP8IgC1EXUhX23rLNLphjwG4Ba2sCbiAaSzNru/TjPuODLMpKjbt5+skyXrb
t7CU7MpHeAkbgnEZgT00ZKIpgkt4lz7ihm2LK8EJTxfIaBfIhJ7lvy3BVZF0LgiG
T/+Ralfa4A+DgvTpYsnbDbf4wpbk+nW5wbb36ZTTIooSzqg35WIygmi4PKmgMyrM
QpMGswYMuL0TrzyOgLKlNdjXPTTt7kIc/8KiGQIDAQABAoH/QLWEKQQ/FwL3qvPs
CKzx81+BP+ij8xBKI5nL9hEz44nGscT8JmrCRbiUAQfoMf2p5TUb6YHMJxHbc/g1
TCQAb587fFWDmwG6wF0SrdVrO2GGTHO3WVPNqMhQFkWnLqEO74Hvlp0Z1dZMg2Y/
ioUbieWkApdWSvputQpMDKO4bvqKHpS/2ue8/y3sZk5yb39TISFXqyzDA+dSzxyD
JY/aGMeZaUP3VHB1lX37TmhoSga12M2ODRsrp2OFca3WsJtev68l1vZJg9KZ7gH6
hSdGsDMmwdyED46U4eg3l51TO6/WeTSIg83wklIcyNe6MzYeJ5OObtmPWTWrpVgf
HAxRAoGBAO6uguXb0kEafkQPIRV7a97oYnvgBQKmNuMuJM539ufZr48pjDvtf2Bv
jJM2p1kVnsKxLnCnJLSe6tt+RvjCmldM8DHll51kDwatlSOgnotngrkHRPANqvPz
lIrBf91jfyxW+AwHcRVA8nzNMBGzgY8RfIcghkE7SP81Kfy+NSkJAoGBALqjqgKb
UABD1oZhtE6qDyM6csWuBSlTD0IUvEvOnwzTyF7YYH1Y4a2ww3G8ZSIIClvidL6m
naBkeFz/B2ky0JimQzWF5X3SDk/vrMj36j+M4y6gvd1NLLaR6tMJaIFw7z6Z6GWC
Pl5GsfDUsWQX1c4hlCBqXOG/Jtl39JruwESRAoGAJE9kFnfUipbvModirxPxmx2b
LeEsofSLURBKBSb25tqU/KCDdvJweElAB30/BCxn1JKD0Bt9WAT9EZsqTNm+BR3t
RIn7ALSiHI/3qk3bELYUivVyJVrO8QHTTTCWtSVXyXUJkzrmlyckPJwyfd7jDNLK
MPxfsDjGqBx8YLjG+ZECgYAhNLUuuYtGQMuOJRv7Uu5WijOZUBjC/XAdharqodxS
X+uqVDz2kDW2vVhIiAhGQb/2ERhMQ0CQJM/1W7pp0Qyj3BDhGO13sUOynSXUq6cV
n29cAGVHVk+6O8PXwDjDruAh9ygNx1ppU5KdEnptIIB9qCO+kK3tzCCRWHJAjnHO
wQKBgQDNm8noZCFIHpSDnItmwrtRC7pPiJE0OmEViKi07sEdpa4bhh5rKYBz2eQ4
hbJPdmuLBDtd6FBNL7+Wggxo9LmxWEbo/mgcoLQEhqi7fJsEqPVcRwh1zMGPVQIq
4Wjf0+sQsFc0X1CvxY0ykDnpo1hZkdaA3T3cVLvXX258gFBwIQ==
-----END RSA PRIVATE KEY-----
";

const P256_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9yoIEPkrCuwWlfD3
xQ6WtLPjXDLFX+8qrceely3H2RGhRANCAATPzcNCrfn4VPEX7CBRySrlyfFjoW2p
DuWleUuQq+y36t+GH8Kx3EtJA2Zw84zrpodFNwYXnA8p7K7f1izyil7x
-----END PRIVATE KEY-----
";

const P384_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCUVQKjvDsh0n1K4O15
ucOxB4PMipYe4fHCPgqb+/l+GfCEVYl1ZhLhfXej6GHkHUahZANiAAQv3Zs+dCD8
b9oDkvqrqVWGKLbaDOUMCR1ky5ia4FRcUmnZBmUYHc2XOkk70Cqm/sc4NH25RM99
zgk0tFB2MBYvWZS05FKDAnJg5wlhKnJuvYifCD7Lfb4WMIqMtZ1unmo=
-----END PRIVATE KEY-----
";

const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIl7P62faZ8rxylgthWM0qZKMnFmG4pTSmCT1ARJaqTs
-----END PRIVATE KEY-----
";

const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGtnmnlecS+fTHENYADui6tsCn52v9f1JVToHgckX7kDoAoGCCqGSM49
AwEHoUQDQgAEFJ7tDGNJzyii0RpM0bjNcj5Mhd8jcLXD5x3RadUrJj+tIj09EIOP
+mEXaTDSpT/wIm9407l5THz02iuIAjOmHQ==
-----END EC PRIVATE KEY-----
";

/// `P256_KEY`, under the passphrase `SESAME`.
const P256_AES: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAh1n/amwgbvswICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOXUZWvo6qF3Xm0nLrxAsfMEgZBa
zFNjGLvvNDlI4+idGUoVW1Zdac/EziY0JLL895UZJ/nHzrSy3WL6rij0jz4WTzqP
vp46pe24e0jBY13V5fubqsBZsp6IcpndgH436dQlr0gPNMGnmmHwFnQgXH4sTxGh
Ty+Df70WPU2xLUlwCsplR76Uaq7ns++I+6geENGbDxEQrMvCEGna0SRohZWqSkY=
-----END ENCRYPTED PRIVATE KEY-----
";

const P256_DES: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHVMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAjYY1zU7BjaGwICCAAw
FAYIKoZIhvcNAwcECCWFhI2ehNPEBIGQZgJopZINctie5WcovNHvzQxCW0MCjvrP
AhsHGko47j+JgIQqIZg1EHD3dRyG77p89Ty7mKHfwhmrC6ZpeR6IpDlMkF2yHVql
J/naVEcHvCHu47IaCILd06xEq2qBF1wAtJqA5L5EvLIi8CIpx3ztEoTyXlhzcgBQ
MLe4BIGy/4PhrhclQERYP8RLuqqQoNmX
-----END ENCRYPTED PRIVATE KEY-----
";

const P256_SCRYPT: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAiX7Jew3wm7yQICBAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBC1B71I/DbIT5ilrAPF6hv2BIGQ4mFd/iF6nJMW
BmKXDOARjTuEJhrJWMIgdLOapWUaaGpG5bY+ihV3y5EoVN0xKTkfDcwPMkEngVs3
x4TYzGpdaV6FhM1YTXZDQ4lPROcgvIYzj7ybgG3Q5trRRJ/hLbTCLrpdMLibJirg
f1HHOdU9Tx0ARqZpY4ZlPF125EiREJor8yQDtfzzdA8im6F3nlws
-----END ENCRYPTED PRIVATE KEY-----
";

const P256_OLD: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,1785BFAF01C13E09F5AD0AC97224A75F

nMivcn+USPIFkVnIClEsqwwQLceuKo3Z4P+5jag+cP9Z54HbB93arPtz9R7N5rSU
yrprEQMnyjf23LbzuzARI5fIY3CAUCtB04Cuq8AXm0fcUfUhW6RgycklMrk3eCR+
HBZ4f5n19gJXrMHNKiIAsoBRqA6EmKsYCIwnypB6JCc=
-----END EC PRIVATE KEY-----
";

const P256_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIPcqCBD5KwrsFpXw98UOlrSz41wyxV/vKq3Hnpctx9kRoAoGCCqGSM49
AwEHoUQDQgAEz83DQq35+FTxF+wgUckq5cnxY6FtqQ7lpXlLkKvst+rfhh/CsdxL
SQNmcPOM66aHRTcGF5wPKeyu39Ys8ope8Q==
-----END EC PRIVATE KEY-----
";

const SEC1_384: &str = "-----BEGIN EC PRIVATE KEY-----
MIGkAgEBBDACfAh3N1pTrO/Yi8t2GWOAsNHbmCwcKNTh1sUdQ90hjL7oj+Jr8jRu
5bccbugFkJegBwYFK4EEACKhZANiAAQB6893K1NVpl6kX2dtGcoEFsrWtICQTQlZ
4+LxEphgPZ3T+3kBVUJtSurg7aX5xYUuMyNK/5Z5CF7RP7g8ZzunNDLGZ2EE/xCp
BfIoJAnm+pqU5nO9n6qvvPv9yrL/N0w=
-----END EC PRIVATE KEY-----
";

const SESAME: &str = "open sesame ü";

const TEXT: &[u8] = b"header.payload";

fn plain(text: &str) -> Key<'_> {
    Key { text, passphrase: None }
}

fn good(algorithm: &str, with: &'static dyn VerificationAlgorithm, key: &str, public: &[u8]) {
    good_key(algorithm, with, plain(key), public);
}

fn good_key(algorithm: &str, with: &'static dyn VerificationAlgorithm, key: Key<'_>, public: &[u8]) {
    let signed = signature(algorithm, key, TEXT).unwrap();
    UnparsedPublicKey::new(with, public).verify(TEXT, &signed).unwrap();
    UnparsedPublicKey::new(with, public).verify(b"header.other", &signed).unwrap_err();
}

fn pkcs8(key: &str) -> Vec<u8> {
    let PrivateKeyDer::Pkcs8(der) = private_key(key, None).unwrap() else { panic!("{key}") };
    der.secret_pkcs8_der().to_vec()
}

#[test]
fn every_algorithm_signs_what_its_public_key_verifies() {
    let rsa = RsaKeyPair::from_pkcs8(&pkcs8(RSA)).unwrap();
    let public = rsa.public_key().as_ref();
    for key in [RSA, RSA_PKCS1] {
        good("RS256", &signature::RSA_PKCS1_2048_8192_SHA256, key, public);
        good("RS384", &signature::RSA_PKCS1_2048_8192_SHA384, key, public);
        good("RS512", &signature::RSA_PKCS1_2048_8192_SHA512, key, public);
        good("PS256", &signature::RSA_PSS_2048_8192_SHA256, key, public);
        good("PS384", &signature::RSA_PSS_2048_8192_SHA384, key, public);
        good("PS512", &signature::RSA_PSS_2048_8192_SHA512, key, public);
    }
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8(P256_KEY), &random).unwrap();
    good("ES256", &signature::ECDSA_P256_SHA256_FIXED, P256_KEY, pair.public_key().as_ref());
    let pair =
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &pkcs8(P384_KEY), &random).unwrap();
    good("ES384", &signature::ECDSA_P384_SHA384_FIXED, P384_KEY, pair.public_key().as_ref());
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8(ED25519)).unwrap();
    good("EdDSA", &signature::ED25519, ED25519, pair.public_key().as_ref());
}

#[test]
fn a_key_of_another_kind_is_an_error_that_says_so() {
    for (algorithm, key, told) in [
        ("RS256", "secret", "PEM"),
        ("RS256", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "RSA"),
        ("RS256", P256_KEY, "RSA"),
        ("ES256", RSA, "curve"),
        ("ES256", P384_KEY, "curve"),
        ("ES256", RSA_PKCS1, "elliptic"),
        ("ES256", SEC1_384, "curve"),
        ("ES256", P256_AES, "give its `passphrase`"),
        ("ES256", P256_OLD, "openssl pkcs8"),
        ("EdDSA", SEC1, "PKCS #8"),
        ("EdDSA", P256_KEY, "Ed25519"),
        ("none", RSA, "not built in"),
    ] {
        let reason = signature(algorithm, plain(key), TEXT).unwrap_err();
        assert!(reason.contains(told), "{algorithm}: {reason}");
    }
    let with = |algorithm, text, passphrase| {
        signature(algorithm, Key { text, passphrase: Some(passphrase) }, TEXT).unwrap_err()
    };
    assert!(with("ES256", P256_AES, "wrong").contains("does not open"));
    assert!(with("ES256", P256_KEY, SESAME).contains("not encrypted"));
    assert!(with("HS256", "secret", SESAME).contains("remove it"));
    let cut = P256_AES.replace("MIH", "");
    assert!(with("ES256", &cut, SESAME).contains("cannot be read"));
}

#[test]
fn keys_under_a_passphrase_and_keys_of_older_forms_sign_too() {
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8(P256_KEY), &random).unwrap();
    let public = pair.public_key().as_ref();
    for text in [P256_AES, P256_DES, P256_SCRYPT] {
        let one_line = text.replace('\n', " ");
        for text in [text, &one_line] {
            good_key("ES256", &signature::ECDSA_P256_SHA256_FIXED, Key { text, passphrase: Some(SESAME) }, public);
        }
    }
    good("ES256", &signature::ECDSA_P256_SHA256_FIXED, P256_SEC1, public);
    assert!(signature("ES384", plain(SEC1_384), TEXT).is_ok());
}
