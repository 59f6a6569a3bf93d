//! The Lambda function `get-credentials`.

use std::sync::Arc;

use get_credentials::GetCredentials;
use larder::environment::Environment;
use larder::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let refresh = Arc::new(environment.refresh_function());
    lambda::serve(Arc::new(GetCredentials::new(&environment, refresh)?)).await
}
