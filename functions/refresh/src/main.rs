//! The Lambda function `refresh`.

use larder::lambda;
use larder_engine::environment::Environment;
use refresh::Refresh;

// Refreshes run on their own threads. These two do the shared work, which is mostly waiting.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logging();
    let environment = Environment::from_env().await?;
    let function = &Refresh::new(&environment)?;
    lambda::serve_events(Refresh::TAKES, async |event| function.handle(event).await).await
}
