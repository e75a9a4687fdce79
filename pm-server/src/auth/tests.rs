use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pm_core::Identity;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use super::*;

const NOW: i64 = 1_767_225_600_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Generating a key is the slow part, so every test uses the same one.
fn keys() -> Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| Arc::new(Keys::generate().unwrap()))
        .clone()
}

fn stranger() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::generate().unwrap())
}

fn claims() -> Claims {
    Claims::new("ada", "acme", Role::Editor, NOW, HOUR)
}

fn token() -> Token {
    keys().sign(&claims()).unwrap()
}

/// The three parts of a token, decoded where they are JSON.
fn parts(token: &Token) -> [&str; 3] {
    let parts: Vec<_> = token.expose().split('.').collect();
    parts.try_into().unwrap()
}

fn forged(header: &Value, key: &EncodingKey) -> String {
    let header: Header = serde_json::from_value(header.clone()).unwrap();
    encode(&header, &claims(), key).unwrap()
}

fn key_id() -> String {
    let header = jsonwebtoken::decode_header(token().expose()).unwrap();
    header.kid.unwrap()
}

#[test]
fn what_was_signed_is_verified() {
    let verified = keys().verify(token().expose(), NOW).unwrap();
    let ada = Identity::new("ada")
        .with_tenant("acme")
        .with_roles(["editor"]);
    assert_eq!(verified.identity, ada);
    assert_eq!(verified.expires_at_us, NOW + 3_600_000_000);
}

#[test]
fn time_is_the_one_that_is_given() {
    let token = token();
    let end = NOW + 3_600_000_000;
    assert!(keys().verify(token.expose(), end - 1).is_ok());
    assert_eq!(keys().verify(token.expose(), end), Err(AuthError::Expired));
}

#[test]
fn a_tampered_token_is_refused() {
    let (good, other) = (
        token(),
        keys().sign(&Claims::new("eve", "acme", Role::Admin, NOW, HOUR)),
    );
    let other = other.unwrap();
    let [header, payload, signature] = parts(&good);
    let [_, others_payload, others_signature] = parts(&other);
    for (payload, signature) in [(others_payload, signature), (payload, others_signature)] {
        let forged = format!("{header}.{payload}.{signature}");
        assert_eq!(keys().verify(&forged, NOW), Err(AuthError::Signature));
    }
    let unsigned = format!("{header}.{payload}.");
    assert_eq!(keys().verify(&unsigned, NOW), Err(AuthError::Signature));
}

#[test]
fn another_key_is_refused_whatever_it_calls_itself() {
    let theirs = stranger().sign(&claims()).unwrap();
    assert_eq!(
        keys().verify(theirs.expose(), NOW),
        Err(AuthError::UnknownKey)
    );

    let pem = super::keys::generate().unwrap();
    let private = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let forged = forged(&json!({"alg": "RS256", "kid": key_id()}), &private);
    assert_eq!(keys().verify(&forged, NOW), Err(AuthError::Signature));
}

#[test]
fn a_token_without_key_id_is_refused() {
    let pem = super::keys::generate().unwrap();
    let private = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let forged = forged(&json!({"alg": "RS256"}), &private);
    assert_eq!(keys().verify(&forged, NOW), Err(AuthError::UnknownKey));
}

#[test]
fn only_rs256_counts() {
    // The classic: the public key, which is no secret, used as an HMAC secret.
    let public = keys().public_der().to_vec();
    for secret in [
        EncodingKey::from_secret(&public),
        EncodingKey::from_secret(b""),
    ] {
        for alg in ["HS256", "HS384", "HS512"] {
            let forged = forged(&json!({"alg": alg, "kid": key_id()}), &secret);
            assert_eq!(
                keys().verify(&forged, NOW),
                Err(AuthError::Algorithm),
                "{alg}"
            );
        }
    }
    let good = token();
    let [_, payload, signature] = parts(&good);
    // {"alg":"none"}, {"alg":"NONE"}, {}
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOT05FIn0", "e30"] {
        for signature in ["", signature] {
            let forged = format!("{header}.{payload}.{signature}");
            assert_eq!(
                keys().verify(&forged, NOW),
                Err(AuthError::Algorithm),
                "{header}"
            );
        }
    }
    let other = keys().sign_as(&claims(), Algorithm::RS512);
    assert_eq!(keys().verify(&other, NOW), Err(AuthError::Algorithm));
}

#[test]
fn extensions_that_must_be_understood_are_not() {
    let pem = super::keys::generate().unwrap();
    let private = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let header = json!({"alg": "RS256", "kid": key_id(), "crit": ["exp"]});
    let forged = forged(&header, &private);
    assert_eq!(keys().verify(&forged, NOW), Err(AuthError::Malformed));
}

#[test]
fn noise_is_malformed() {
    let long = "a".repeat(1 << 20);
    for noise in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "\u{0}",
        "ä.ö.ü",
        "eyJhbGciOiJSUzI1NiJ9",
        &long,
    ] {
        assert_eq!(keys().verify(noise, NOW), Err(AuthError::Malformed));
    }
}

#[test]
fn nothing_secret_shows_itself() {
    let token = token();
    let shown = format!("{token:?} {:?} {}", keys(), AuthError::Signature);
    assert!(
        !shown.contains(parts(&token)[2]) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}

#[test]
fn the_key_of_a_folder_is_made_once() {
    let data = tempfile::tempdir().unwrap();
    let (clock, _) = Clock::manual();
    let error = local_token(data.path(), "demo", &clock).unwrap_err();
    assert!(error.to_string().contains("start pm-server"), "{error}");

    let (first, made) = Keys::load_or_create(data.path()).unwrap();
    assert!(made);
    let token = local_token(data.path(), "demo", &clock).unwrap();
    let verified = first.verify(token.expose(), NOW).unwrap();
    assert_eq!(verified.identity.subject(), "local");
    assert_eq!(verified.tenant(), Ok("demo"));
    assert!(Role::Admin.is_held_by(&verified.identity));

    let (again, made) = Keys::load_or_create(data.path()).unwrap();
    assert!(!made);
    assert!(again.verify(token.expose(), NOW).is_ok());
}

#[test]
fn a_key_file_that_holds_something_else_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let path = key_file::path(data.path());
    key_file::write(&path, "-----BEGIN NONSENSE-----").unwrap();
    let error = Keys::load_or_create(data.path()).unwrap_err();
    assert!(matches!(error, KeyError::Damaged { .. }), "{error:?}");
    assert_eq!(key_file::read(&path).unwrap(), b"-----BEGIN NONSENSE-----");
}

/// What a service behind the layer sees and what its caller gets, for these `Authorization` lines.
async fn ask(lines: &[&str]) -> (Response<Bytes>, Option<Verified>) {
    let (clock, _) = Clock::manual();
    let (seen, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let inner = service_fn(move |request: Request<()>| {
        let identity = request.extensions().get::<Identity>().cloned();
        let verified = request.extensions().get::<Verified>().cloned();
        assert_eq!(
            identity,
            verified.as_ref().map(|verified| verified.identity.clone())
        );
        seen.send(verified).unwrap();
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    let mut request = Request::builder();
    for line in lines {
        request = request.header(header::AUTHORIZATION, *line);
    }
    let service = AuthenticateLayer::new(keys(), clock).layer(inner);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(head, body),
        arrived.try_recv().ok().flatten(),
    )
}

#[tokio::test]
async fn a_good_token_identifies_its_bearer() {
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let line = format!("{scheme} {}", token().expose());
        let (response, verified) = ask(&[&line]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(verified.unwrap().identity.subject(), "ada");
    }
}

#[tokio::test]
async fn without_a_token_the_request_passes_nameless() {
    let (response, verified) = ask(&[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(verified, None);
}

#[tokio::test]
async fn a_bad_token_never_reaches_the_service() {
    let good = format!("Bearer {}", token().expose());
    let bad: [&[&str]; 6] = [
        &["Bearer"],
        &["Bearer "],
        &["Basic YWRhOmxvdmU="],
        &["Bearer a.b.c"],
        &[&good[..good.len() - 2]],
        &[&good, &good],
    ];
    for lines in bad {
        let (response, verified) = ask(lines).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(verified, None);
        let challenge = &response.headers()[header::WWW_AUTHENTICATE];
        assert_eq!(challenge, r#"Bearer error="invalid_token""#);
        let problem: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(problem["type"], "urn:pm:problem:unauthenticated");
    }
}
