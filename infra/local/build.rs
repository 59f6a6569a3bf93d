//! A connector that is added or removed is a reason to build anew: `include_dir!` watches only the files it has found.

fn main() {
    println!("cargo::rerun-if-changed=../../shared/connectors");
}
