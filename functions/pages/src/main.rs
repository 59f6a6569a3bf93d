//! The Lambda function `pages`.

use std::sync::Arc;

use larder::lambda;
use larder_engine::connector::Catalog;
use larder_engine::environment::Environment;
use pages::Pages;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let connector_setup = environment.connector_setup(Catalog::default());
    lambda::serve(Arc::new(Pages::new(&environment, connector_setup)?)).await
}
