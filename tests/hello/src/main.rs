//! The smallest Lambda function behind an HTTP API: a lower bound for cold starts in Rust.

use std::convert::Infallible;

use lambda_http::{Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_http::run(service_fn(async |_: Request| Ok::<_, Infallible>("hello"))).await
}
