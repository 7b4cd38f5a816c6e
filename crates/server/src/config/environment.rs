//! What this program reads from its environment, and nothing else does.

use std::path::PathBuf;

/// Arguments of commands, hence no settings.
const OF_COMMANDS: [&str; 6] =
    ["ANGARIUM_URL", "ANGARIUM_KEY", "ANGARIUM_APP", "ANGARIUM_CA", "ANGARIUM_CONFIG", "ANGARIUM_PROFILE"];

/// The process's `ANGARIUM_…` variables, but for those that are arguments of client commands.
#[allow(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
pub fn environment() -> Vec<(String, String)> {
    let ours =
        |name: &str| name.starts_with("ANGARIUM_") && !OF_COMMANDS.contains(&name) && !is_of_a_service(name);
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ours(name))
        .collect()
}

/// Kubernetes tells every pod where the service `angarium` is, in variables that nobody set on purpose:
/// `ANGARIUM_SERVICE_HOST`, `ANGARIUM_SERVICE_PORT…`, `ANGARIUM_PORT…`.
fn is_of_a_service(name: &str) -> bool {
    let name = name.trim_start_matches("ANGARIUM_");
    name == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|start| name.starts_with(start))
}

/// Where the profiles of this user are: `angarium/profiles.toml` in `XDG_CONFIG_HOME`, which is `~/.config` if not set
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>). `None` for a user without a home.
#[allow(clippy::disallowed_methods, reason = "this is the one place where the environment is read")]
pub fn profiles_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(config.join("angarium").join("profiles.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_says_of_a_service_is_no_setting() {
        for name in [
            "ANGARIUM_PORT",
            "ANGARIUM_PORT_80_TCP_ADDR",
            "ANGARIUM_SERVICE_HOST",
            "ANGARIUM_SERVICE_PORT_HTTP",
        ] {
            assert!(is_of_a_service(name), "{name}");
        }
        assert!(!is_of_a_service("ANGARIUM_DATA_DIR") && !is_of_a_service("ANGARIUM_HTTP__LISTEN"));
    }
}
