//! Rebuilds when a connector is added or removed: `include_dir!` only watches the files it found.

fn main() {
    println!("cargo::rerun-if-changed=../../shared/connectors");
}
