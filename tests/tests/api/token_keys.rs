//! The keys of a workspace: public keys that verify callers, the secret that signs Larder's own tokens, and tokens that never
//! expire.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use larder::environment::CredentialsIn;
use larder::secret::Secret;
use larder_tests::{CredentialApi, MockProvider, World};
use serde_json::{Value, json};

use super::callers::{ALICES_CONNECTION, PresentedToken, Row, put, signed_claims, table, token, unsigned};

const SECRET: &str = "the secret of the workspace `acme`";
const APPLICATION: &str = "the application secret of Larder";

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The keys of an application.
struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl Keys {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the library requires its own randomness here")]
    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = match header["alg"].as_str().unwrap() {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
                signature
            }
            "ES256" => self.ec.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(text.as_bytes()).as_ref().to_vec(),
            other => panic!("{other}"),
        };
        format!("{text}.{}", encoded(signature))
    }

    fn jwks(&self) -> [Value; 3] {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        let point = self.ec.public_key().as_ref();
        [
            json!({"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": encoded(n), "e": encoded(e)}),
            json!({"kty": "EC", "kid": "ec", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..])}),
            json!({"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": encoded(self.ed.public_key())}),
        ]
    }

    fn ders(&self) -> [Vec<u8>; 3] {
        let rsa: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().unwrap();
        let ec: PublicKeyX509Der<'_> = self.ec.public_key().as_der().unwrap();
        let ed: PublicKeyX509Der<'_> = self.ed.public_key().as_der().unwrap();
        [rsa.as_ref().to_vec(), ec.as_ref().to_vec(), ed.as_ref().to_vec()]
    }

    fn pems(&self) -> [String; 3] {
        self.ders().map(|der| {
            let base64 = STANDARD.encode(der);
            let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
        })
    }
}

/// Stores the keys of the workspace `acme`, as an operator would, and lets the old ones expire from memory.
async fn store(world: &World, keys: &Value) {
    let mut secret = json!({ "secret": SECRET });
    for (name, value) in keys.as_object().unwrap() {
        secret[name] = value.clone();
    }
    world.put_secret("workspaces/acme", &Secret::new(secret.to_string())).await;
    world.advance(300);
}

fn claims(world: &World) -> Value {
    json!({"workspaceKey": "acme", "isAdmin": true, "exp": world.clock_time() + 36_000})
}

async fn status(world: &World, token: &str) -> u16 {
    world.send(Method::GET, "/connections", token, None).await.0.status().as_u16()
}

const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

#[tokio::test]
async fn public_keys_in_every_notation_verify_callers() {
    let (world, keys, strangers) = (World::new().await, Keys::new(), Keys::new());
    let ed_of_strangers = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let strangers = Keys { ed: ed_of_strangers, ..strangers };
    let (jwks, pems) = (keys.jwks(), keys.pems());
    for listed in [
        json!({ "publicKeys": jwks }),
        json!({"publicKeys": {"keys": jwks}}),
        json!({"publicKeys": [{"keys": jwks}]}),
        json!({ "publicKeys": pems }),
        json!({"publicKeys": [pems[0], jwks[1]], "previousPublicKeys": pems[2].trim()}),
        json!({ "previousPublicKeys": jwks }),
    ] {
        store(&world, &listed).await;
        let claims = claims(&world);
        for alg in ALGORITHMS {
            let header = json!({ "alg": alg });
            assert_eq!(status(&world, &keys.sign(&header, &claims)).await, 200, "{alg} {listed}");
            assert_eq!(status(&world, &strangers.sign(&header, &claims)).await, 401, "{alg} {listed}");
        }
        // The secret still verifies.
        assert_eq!(status(&world, &token(&json!({"alg": "HS256"}), &claims, SECRET.as_bytes())).await, 200);
    }
    store(&world, &json!({})).await;
    for alg in ALGORITHMS {
        assert_eq!(status(&world, &keys.sign(&json!({ "alg": alg }), &claims(&world))).await, 401, "{alg}");
    }
}

#[tokio::test]
async fn a_key_id_selects_the_key() {
    let (world, keys) = (World::new().await, Keys::new());
    let [_, ec, _] = keys.jwks();
    let mut another = ec.clone();
    another["kid"] = "another".into();
    let token = |kid: &str| keys.sign(&json!({"alg": "ES256", "kid": kid}), &claims(&world));
    store(&world, &json!({ "publicKeys": [ec] })).await;
    assert_eq!([status(&world, &token("ec")).await, status(&world, &token("another")).await], [200, 401]);
    store(&world, &json!({"publicKeys": [ec], "previousPublicKeys": [another]})).await;
    assert_eq!([status(&world, &token("ec")).await, status(&world, &token("another")).await], [200, 200]);
    assert_eq!(status(&world, &token("unknown")).await, 401);
    // A key without an id goes with any.
    store(&world, &json!({ "publicKeys": keys.pems() })).await;
    assert_eq!(status(&world, &token("unknown")).await, 200);
}

#[tokio::test]
async fn a_public_key_is_never_used_as_a_secret() {
    let (world, keys) = (World::new().await, Keys::new());
    let (jwks, ders, pems) = (keys.jwks(), keys.ders(), keys.pems());
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(keys.rsa.public_key());
    let mut known: Vec<Vec<u8>> =
        vec![n.clone(), e, encoded(&n).into_bytes(), encoded(keys.ed.public_key()).into_bytes()];
    known.push(keys.ec.public_key().as_ref().to_vec());
    known.push(keys.ec.public_key().as_ref()[1..].to_vec());
    known.push(keys.ed.public_key().as_ref().to_vec());
    known.extend(ders);
    known.extend(pems.iter().flat_map(|pem| [pem.clone().into_bytes(), pem.trim().as_bytes().to_vec()]));
    known.extend(jwks.iter().map(|jwk| jwk.to_string().into_bytes()));
    known.push(json!({ "keys": jwks }).to_string().into_bytes());
    for listed in [json!({ "publicKeys": jwks }), json!({ "publicKeys": pems, "applicationSecret": APPLICATION })] {
        store(&world, &listed).await;
        let claims = claims(&world);
        for key in &known {
            for (alg, algorithm) in
                [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            {
                for kid in ["rsa", "ec", "ed"] {
                    let text = unsigned(&json!({"alg": alg, "kid": kid}), &claims);
                    let signature = hmac::sign(&hmac::Key::new(algorithm, key), text.as_bytes());
                    assert_eq!(status(&world, &format!("{text}.{}", encoded(signature))).await, 401, "{alg} {kid}");
                }
            }
        }
        // Nor does a key verify under the name of another algorithm.
        for (named, signed) in
            [("RS256", "ES256"), ("ES256", "EdDSA"), ("EdDSA", "RS256"), ("RS384", "RS256"), ("PS256", "RS256")]
        {
            let token = keys.sign(&json!({ "alg": signed }), &claims);
            let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("a token") };
            let header = encoded(json!({ "alg": named }).to_string());
            assert_eq!(status(&world, &format!("{header}.{payload}.{signature}")).await, 401, "{named}");
        }
        for alg in ["none", "RS256", "ES256", "EdDSA"] {
            let text = unsigned(&json!({ "alg": alg }), &claims);
            assert_eq!(status(&world, &format!("{text}.")).await, 401, "{alg}");
            assert_eq!(status(&world, &token(&json!({ "alg": alg }), &claims, SECRET.as_bytes())).await, 401, "{alg}");
        }
    }
}

#[tokio::test]
async fn unusable_keys_are_reported_and_verify_nothing() {
    let (world, keys) = (World::new().await, Keys::new());
    let (jwks, pems) = (keys.jwks(), keys.pems());
    let changed = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let modulus = |bits: usize| {
        encoded([&[if bits.is_multiple_of(8) { 0xff } else { 1 }][..], &vec![0xff; (bits - 1) / 8]].concat())
    };
    let short = changed(&jwks[0], "n", modulus(2047).into());
    let public = json!({"kty": "oct", "k": encoded(SECRET)});
    for (name, value, problem) in [
        (
            "publicKeys",
            json!([jwks[1], changed(&jwks[0], "n", modulus(1024).into())]),
            "key 2 is an RSA key of 1024 bits",
        ),
        (
            "previousPublicKeys",
            json!([changed(&jwks[0], "n", encoded([&[0; 200][..], &[0xff; 128]].concat()).into())]),
            "of 1024 bits",
        ),
        ("publicKeys", json!({ "keys": [short] }), "bits; use at least 2048"),
        ("publicKeys", json!([changed(&jwks[0], "n", modulus(8200).into())]), "use at most 8192"),
        ("publicKeys", json!([changed(&jwks[0], "e", "AQ".into())]), "exponent"),
        ("publicKeys", json!([changed(&jwks[0], "e", "AQAA".into())]), "exponent"),
        ("publicKeys", json!([changed(&jwks[0], "d", "AQAB".into())]), "private key"),
        ("publicKeys", public, "secret key"),
        ("publicKeys", json!([changed(&jwks[1], "x", encoded([1; 32]).into())]), "not a point of P-256"),
        ("publicKeys", json!([changed(&jwks[2], "x", encoded([1; 31]).into())]), "not an Ed25519 key"),
        ("publicKeys", json!([changed(&jwks[2], "x", "=".into())]), "`x`"),
        ("publicKeys", json!([changed(&jwks[1], "crv", "P-384".into())]), "none of the keys"),
        ("publicKeys", json!([changed(&jwks[0], "use", "enc".into())]), "none of the keys"),
        ("publicKeys", json!([changed(&jwks[0], "alg", "RS512".into())]), "none of the keys"),
        ("publicKeys", json!(["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]), "neither an RSA"),
        ("publicKeys", json!(pems.join("\n")), "not one `BEGIN PUBLIC KEY`"),
        ("publicKeys", json!(7), "has no `kty`"),
        ("secret", json!(pems[0]), "`secret` is a public key"),
        ("previousSecret", json!(pems[2]), "`previousSecret` is a public key"),
        ("applicationSecret", json!(pems[1]), "`applicationSecret` is a public key"),
        ("applicationSecret", json!("too short"), "`applicationSecret` has fewer than 32 bytes"),
        ("applicationSecret", json!(SECRET), "`applicationSecret` also verifies callers' tokens"),
    ] {
        let mut stored = json!({ "secret": SECRET });
        stored[name] = value.clone();
        store(&world, &stored).await;
        let token = token(&json!({"alg": "HS256"}), &claims(&world), SECRET.as_bytes());
        let answer = world.send(Method::GET, "/connections", &token, None).await;
        let answer = answer.expect(StatusCode::INTERNAL_SERVER_ERROR).json();
        let message = answer["message"].as_str().unwrap();
        assert!(answer["type"] == "configuration" && message.contains(problem), "{value}: {message}");
    }
    // Keys for something else are skipped beside one for tokens, and an empty list is none.
    let encryption = changed(&jwks[0], "use", "enc".into());
    let post_quantum = json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"});
    store(&world, &json!({"publicKeys": {"keys": [encryption, post_quantum, jwks[1]]}, "previousPublicKeys": []}))
        .await;
    assert_eq!(status(&world, &keys.sign(&json!({"alg": "ES256"}), &claims(&world))).await, 200);
    assert_eq!(status(&world, &keys.sign(&json!({"alg": "RS256"}), &claims(&world))).await, 401);
}

#[tokio::test]
async fn tokens_without_expiry_are_valid_only_where_allowed() {
    let world = World::new().await;
    let token = |exp: Option<Value>| {
        let mut claims = json!({"workspaceKey": "acme", "isAdmin": true});
        if let Some(exp) = exp {
            claims["exp"] = exp;
        }
        token(&json!({"alg": "HS256"}), &claims, SECRET.as_bytes())
    };
    for (allowed, expected) in [(json!(null), 401), (json!(false), 401), (json!(true), 200)] {
        let keys = if allowed.is_null() { json!({}) } else { json!({ "allowTokensWithoutExpiry": allowed }) };
        store(&world, &keys).await;
        assert_eq!(status(&world, &token(None)).await, expected, "{allowed}");
        // A token that has one must be valid.
        for exp in [json!(0), json!(world.clock_time()), json!(i64::MAX), json!(null), json!("never")] {
            assert_eq!(status(&world, &token(Some(exp.clone()))).await, 401, "{allowed} {exp}");
        }
    }
}

/// A world whose workspace `local` has an application secret, with an integration whose connector identifies callers to a
/// provider.
async fn with_application_secret() -> (World, MockProvider) {
    let spec = "name: App\nauth:\n  type: membrane-token\n  makeApiClient: {implementationType: mapping}\n  \
                test: {implementationType: rest-api-mapping}\n";
    let files = [
        ("spec.yml", spec),
        ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
        ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
    ];
    let (world, provider) = (World::with_connector(&files).await, MockProvider::start().await);
    let parameters = json!({"parameters": {"apiUri": provider.uri("")}});
    world.integrate_app(parameters).await.expect(StatusCode::CREATED);
    add_application_secret(&world).await;
    (world, provider)
}

async fn add_application_secret(world: &World) {
    let workspaces = world.bundle.environment().workspaces();
    let mut secret = workspaces.secret("local").await.unwrap().unwrap();
    secret.application_secret = Some(Secret::new(APPLICATION));
    workspaces.put("local", &secret).await.unwrap();
    world.advance(300);
}

#[tokio::test]
async fn providers_can_verify_larders_tokens_but_sign_no_callers() {
    let (world, provider) = with_application_secret().await;
    world.connect_app(json!({})).await.expect(StatusCode::OK);
    let calls = provider.api_calls();
    let for_provider = calls[0].header("x-membrane-token").unwrap();
    let claims = signed_claims(for_provider, APPLICATION).expect("signed with the application secret");
    assert_eq!((&claims["sub"], &claims["forApplication"]), (&json!("alice"), &json!(true)));
    // Nothing that the provider can sign opens a route, whatever it claims.
    let exp = world.clock_time() + 3600;
    let forged = [
        json!({"workspaceKey": "local", "isAdmin": true, "exp": exp}),
        json!({"workspaceKey": "local", "tenantKey": "alice", "exp": exp}),
        json!({"iss": "local", "sub": "alice", "scope": "connections:read credentials:read", "exp": exp}),
        json!({"iss": "local", "sub": "alice", "isAdmin": true, "forApplication": false, "exp": exp}),
    ];
    let mut forged: Vec<_> =
        forged.iter().map(|claims| token(&json!({"alg": "HS256"}), claims, APPLICATION.as_bytes())).collect();
    forged.push(for_provider.to_owned());
    for row in table().into_iter().filter(Row::checks_tokens) {
        for token in &forged {
            let answer = row.call(&world, ALICES_CONNECTION, &PresentedToken::bearer(token)).await;
            assert_eq!(answer.0.status(), StatusCode::UNAUTHORIZED, "{row}");
        }
    }
}

#[tokio::test]
async fn external_apis_can_verify_larders_tokens_but_sign_no_callers() {
    let api = CredentialApi::start().await;
    let world = World::keeping(CredentialsIn::ExternalApi(api.url())).await;
    add_application_secret(&world).await;
    put(&world, &world.alice, ALICES_CONNECTION).await;
    let sent = api.calls().last().unwrap().header("x-membrane-token").unwrap().to_owned();
    let claims = signed_claims(&sent, APPLICATION).expect("signed with the application secret");
    assert_eq!(claims["forCredentialsOf"], ALICES_CONNECTION);

    // Another Larder with the same application secret accepts such a token for that connection, and for nothing else.
    let keeper = World::new().await;
    add_application_secret(&keeper).await;
    let exp = keeper.clock_time() + 3600;
    let sign = |claims: Value| token(&json!({"alg": "HS256"}), &claims, APPLICATION.as_bytes());
    let of_one = sign(json!({"iss": "local", "forCredentialsOf": "c1", "exp": exp}));
    let body = json!({"credentials": "kept"});
    let uri = "/credentials?connectionId=c1";
    keeper.send(Method::PUT, uri, &of_one, Some(&body)).await.expect(StatusCode::CREATED);
    keeper.send(Method::GET, uri, &of_one, None).await.expect(StatusCode::OK);
    let another = "/credentials?connectionId=c2";
    keeper.send(Method::GET, another, &of_one, None).await.expect(StatusCode::UNAUTHORIZED);
    let admin = sign(json!({"iss": "local", "isAdmin": true, "exp": exp}));
    keeper.send(Method::GET, uri, &admin, None).await.expect(StatusCode::UNAUTHORIZED);

    // It does so during a rotation, too.
    let workspaces = keeper.bundle.environment().workspaces();
    let mut secret = workspaces.secret("local").await.unwrap().unwrap();
    secret.previous_application_secret =
        secret.application_secret.replace(Secret::new("the next application secret of Larder"));
    workspaces.put("local", &secret).await.unwrap();
    keeper.advance(300);
    keeper.send(Method::GET, uri, &of_one, None).await.expect(StatusCode::OK);
    secret.previous_application_secret = None;
    workspaces.put("local", &secret).await.unwrap();
    keeper.advance(300);
    keeper.send(Method::GET, uri, &of_one, None).await.expect(StatusCode::UNAUTHORIZED);
}
