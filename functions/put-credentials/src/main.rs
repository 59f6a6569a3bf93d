//! The Lambda function `put-credentials`.

use std::sync::Arc;

use larder::environment::Environment;
use larder::lambda;
use put_credentials::PutCredentials;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let tester = Arc::new(environment.refresh_function());
    lambda::serve(Arc::new(PutCredentials::new(&environment, tester)?)).await
}
