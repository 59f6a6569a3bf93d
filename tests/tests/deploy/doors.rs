//! Access to Larder on the local machine: its embedded database, its port and its files.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::Client;
use larder::aws_http;
use larder::dynamodb::schema::{self, Tables};
use larder::trust::Trust;
use larder_local::bundle::DataDir;
use larder_local::demo::Demo;
use larder_local::embedded_dynamodb::{Door, EmbeddedDynamoDb};
use larder_local::server;
use larder_tests::World;
use larder_tests::loopback::listen;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends a raw request. Returns the whole response.
async fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_embedded_database_rejects_web_pages_and_strangers() {
    let world = World::new().await;
    let door = world.door().await;
    let endpoint = door.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    let body = r#"{"TableName":"larder-connections"}"#;
    let send = async |line: &str, host: &str, more: &str| {
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.0\r\n\
             x-amz-target: DynamoDB_20120810.Scan\r\nx-amz-date: 20260101T000000Z\r\ncontent-length: {length}\r\n{more}\r\n{body}"
        );
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("\"Items\""), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
        answer
    };
    let any = "authorization: AWS4-HMAC-SHA256 Credential=larder/20260101/local/dynamodb/aws4_request, \
               SignedHeaders=host;x-amz-date;x-amz-target, Signature=00\r\n";
    for (line, host, more) in [
        ("POST /", address, format!("{any}origin: https://evil.example\r\n")),
        ("POST /", address, format!("{any}origin: null\r\n")),
        ("POST /", address, format!("{any}sec-fetch-site: same-origin\r\n")),
        ("POST /", "rebound.example", any.to_owned()),
        ("POST /", "localhost.evil.example", any.to_owned()),
        ("GET /", address, any.to_owned()),
        ("OPTIONS /", address, "origin: https://evil.example\r\naccess-control-request-method: POST\r\n".to_owned()),
    ] {
        let answer = send(line, host, &more).await;
        assert!(answer.contains("AccessDeniedException"), "{line} {host} {more}: {answer}");
    }
    for more in ["", any] {
        assert!(send("POST /", address, more).await.contains("InvalidSignatureException"), "{more}");
    }

    let scan = async |credentials: Credentials| {
        let provider = SharedCredentialsProvider::new(credentials);
        let sdk = world.database.sdk_config().into_builder().http_client(aws_http::client(Trust::Machine));
        let sdk = sdk.endpoint_url(&endpoint).credentials_provider(provider).build();
        Client::new(&sdk).scan().table_name("larder-connections").send().await.map(drop)
    };
    let credentials = |secret: &str| Credentials::new(Door::ACCESS_KEY_ID, secret, None, None, "test");
    scan(credentials(door.secret().expose())).await.expect("the key gives access");
    let rejected = scan(credentials("local")).await.expect_err("another key does not give access").into_service_error();
    assert_eq!(rejected.meta().code(), Some("InvalidSignatureException"));
    assert_ne!(door.secret(), world.door().await.secret());
}

#[tokio::test]
async fn silent_connections_are_closed_and_block_no_one() {
    let world = World::new().await;
    let (listener, address) = listen().await;
    tokio::spawn(server::serve(listener, Arc::clone(&world.bundle), None));
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: larder.example\r\n").await.unwrap();
        }
        silent.push(stream);
    }
    // From now on the clock only advances when everything is idle.
    tokio::time::pause();
    let request = "GET / HTTP/1.1\r\nhost: larder.example\r\nconnection: close\r\n\r\n";
    assert!(exchange(&address.to_string(), request).await.starts_with("HTTP/1.1 200 "));
    for mut stream in silent {
        let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await;
        drop(closed.expect("a silent connection is closed"));
    }
}

#[tokio::test]
async fn other_names_of_this_machine_get_no_token_from_the_example() {
    let world = World::new().await;
    let data = DataDir::open(world.folder()).unwrap();
    let demo = Demo::open(&world.bundle, &data, String::new()).await.unwrap().expect("no other program has it");
    let (listener, address) = listen().await;
    tokio::spawn(server::serve(listener, Arc::clone(&world.bundle), Some(Arc::new(demo))));
    let get = async |host: &str| {
        let request = format!("GET /demo/app HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        exchange(&address.to_string(), &request).await
    };
    let page = get("localhost:9000").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("eyJ"), "{page}");
    for host in ["rebound.example", "localhost.evil.example", "192.168.0.7:9000"] {
        let page = get(host).await;
        assert!(page.starts_with("HTTP/1.1 403 ") && !page.contains("eyJ"), "{host}: {page}");
    }
}

fn modes(folder: &Path) -> BTreeMap<String, u32> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().permissions().mode() & 0o777)
    });
    entries.collect()
}

#[test]
fn the_first_program_of_a_data_folder_has_its_demo() {
    let folder = tempfile::tempdir().unwrap();
    let claim = |base_uri: &str| DataDir::open(folder.path()).unwrap().claim_demo(base_uri).unwrap();
    let first = claim("http://127.0.0.1:9000").unwrap();
    assert_eq!(claim("http://127.0.0.1:9001").unwrap_err(), "http://127.0.0.1:9000");
    drop(first);
    let second = claim("http://127.0.0.1:91").unwrap();
    assert_eq!(claim("http://127.0.0.1:9000").unwrap_err(), "http://127.0.0.1:91");
    drop(second);
}

#[tokio::test]
async fn files_are_private_even_in_a_shared_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let database = EmbeddedDynamoDb::open(&data.database()).unwrap();
    schema::create(&Client::new(&database.sdk_config()), &Tables::default()).await.unwrap();
    data.write_lambda_env("A=\"b\"\n").unwrap();
    let made = modes(folder.path());
    let names = ["lambda.env", "larder.sqlite", "larder.sqlite-shm", "larder.sqlite-wal"];
    assert_eq!(made, names.map(|name| (name.to_owned(), 0o600)).into_iter().collect());

    // Files as an older version may have left them.
    for name in ["secrets.json", "secrets.lock", "seal.key", "demo.lock"] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    let all = modes(folder.path());
    for name in all.keys() {
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    fs::write(folder.path().join("mine"), "").unwrap();
    fs::set_permissions(folder.path().join("mine"), Permissions::from_mode(0o644)).unwrap();
    DataDir::open(folder.path()).unwrap();
    for (name, mode) in modes(folder.path()) {
        assert_eq!(mode, if name == "mine" { 0o644 } else { 0o600 }, "{name}");
    }
}
