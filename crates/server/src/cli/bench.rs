//! placeholder until written
use super::failure::Result;
#[derive(clap::Args)]
pub struct BenchArgs {}
pub async fn run(_: BenchArgs) -> Result { Ok(()) }
