//! The committed code in `src/gen` is what `proto/` generates.
//!
//! After an edit of a `.proto` file, and before code that uses what is new: `PM_REGENERATE=1 cargo test -p pm-server --test generated`.

use std::{fs, path::Path};

fn generate(into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = ["pm/v1/model.proto", "pm/v1/event.proto", "pm/v1/sync.proto"];
    let descriptors = protox::compile(files, [&root]).expect("the .proto files compile");
    prost_build::Config::new()
        .bytes(["."])
        .format(false)
        .out_dir(into)
        .compile_fds(descriptors)
        .expect("code is generated");
}

#[test]
// The one environment variable outside the server's settings: a test has no flags.
#[allow(clippy::disallowed_methods)]
fn committed_code_is_generated_from_the_schema() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let fresh = fs::read_to_string(fresh.path().join("pm.v1.rs")).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen/pm.v1.rs");
    if std::env::var("PM_REGENERATE").is_ok() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == fresh,
        "src/gen/pm.v1.rs is not what proto/ generates; run \
         `PM_REGENERATE=1 cargo test -p pm-server --test generated`"
    );
}
