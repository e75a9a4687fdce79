use std::net::IpAddr;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use pm_core::{Cidr, Problem};

use super::answer::Fault;
use crate::rules::decoded;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Block(Cidr),
    Blocks,
    Emergency,
    Explain,
    Metrics,
    OpenApi,
    Rule(String),
    Rules,
    UserQuota { user: String, rule: String },
    UserQuotas(String),
    Violations(IpAddr),
}

impl Resource {
    pub(super) fn of(path: &str) -> Result<Self, Fault> {
        let nothing = || Fault::not_found("there is nothing of this name: see /openapi.json");
        let mut segments = Vec::new();
        for raw in path.strip_prefix('/').ok_or_else(nothing)?.split('/') {
            segments.push(
                decoded(raw)
                    .filter(|text| !text.is_empty())
                    .ok_or_else(nothing)?,
            );
            if segments.len() > 4 {
                return Err(nothing());
            }
        }
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Ok(match segments[..] {
            ["blocks"] => Self::Blocks,
            ["blocks", prefix] => Self::Block(cidr(prefix)?),
            ["blocks", addr, length] => Self::Block(cidr(&format!("{addr}/{length}"))?),
            ["emergency"] => Self::Emergency,
            ["explain"] => Self::Explain,
            ["metrics"] => Self::Metrics,
            ["openapi.json"] => Self::OpenApi,
            ["rules"] => Self::Rules,
            ["rules", name] => Self::Rule(name.to_owned()),
            ["users", user, "quotas"] => Self::UserQuotas(user.to_owned()),
            ["users", user, "quotas", rule] => Self::UserQuota {
                user: user.to_owned(),
                rule: rule.to_owned(),
            },
            ["violations", addr] => Self::Violations(addr.parse().map_err(|_| not_an_address())?),
            _ => return Err(nothing()),
        })
    }

    /// What can be asked of it. What can be got can be asked for without its body, too.
    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Block(_) | Self::Emergency | Self::Rule(_) | Self::UserQuota { .. } => {
                &[Method::GET, Method::PUT, Method::DELETE]
            }
            Self::Explain => &[Method::POST],
            Self::Blocks
            | Self::Metrics
            | Self::OpenApi
            | Self::Rules
            | Self::UserQuotas(_)
            | Self::Violations(_) => &[Method::GET],
        }
    }

    /// What may stand behind the path.
    pub(super) const fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Blocks | Self::Rules => &["after", "limit"],
            Self::UserQuotas(_) => &["after", "limit", "tenant"],
            Self::UserQuota { .. } => &["tenant"],
            Self::Violations(_) => &["limit"],
            Self::Block(_)
            | Self::Emergency
            | Self::Explain
            | Self::Metrics
            | Self::OpenApi
            | Self::Rule(_) => &[],
        }
    }

    /// The method, if it can be asked.
    pub(super) fn check(&self, method: &Method) -> Result<Method, Fault> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let methods = self.methods();
        if methods.contains(method) {
            return Ok(method.clone());
        }
        let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        if methods.contains(&Method::GET) {
            names.push("HEAD");
        }
        let names = names.join(", ");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED)
            .with_detail(format!("this can be asked by {names}"));
        // Names of methods are a header.
        let allow = HeaderValue::try_from(names).unwrap_or(HeaderValue::from_static(""));
        Err(Fault::from(problem).with_header(ALLOW, allow))
    }
}

fn cidr(text: &str) -> Result<Cidr, Fault> {
    let invalid = || {
        Fault::new(
            StatusCode::BAD_REQUEST,
            "this is no block of addresses: write /blocks/198.51.100.0/24 or /blocks/192.0.2.1",
        )
    };
    text.parse().map_err(|_| invalid())
}

fn not_an_address() -> Fault {
    Fault::new(
        StatusCode::BAD_REQUEST,
        "this is no address: write /violations/192.0.2.1",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Of every kind, with the paths of the document.
    fn all() -> Vec<(Resource, &'static [&'static str])> {
        let prefix = "192.0.2.0/24".parse().expect("a prefix");
        let addr = IpAddr::from([192, 0, 2, 1]);
        let quota = Resource::UserQuota {
            user: "ada".into(),
            rule: "user".into(),
        };
        vec![
            (
                Resource::Block(prefix),
                &["/blocks/{address}", "/blocks/{address}/{length}"],
            ),
            (Resource::Blocks, &["/blocks"]),
            (Resource::Emergency, &["/emergency"]),
            (Resource::Explain, &["/explain"]),
            (Resource::Metrics, &["/metrics"]),
            (Resource::OpenApi, &["/openapi.json"]),
            (Resource::Rule("login".into()), &["/rules/{name}"]),
            (Resource::Rules, &["/rules"]),
            (quota, &["/users/{id}/quotas/{rule}"]),
            (Resource::UserQuotas("ada".into()), &["/users/{id}/quotas"]),
            (Resource::Violations(addr), &["/violations/{address}"]),
        ]
    }

    #[test]
    fn the_document_names_every_path_with_its_methods_and_parameters_and_no_others() {
        let document: Value = serde_json::from_str(super::super::OPENAPI).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut documented: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        for (resource, templates) in all() {
            for template in templates {
                assert!(
                    documented.remove(template),
                    "{template} is not in the document"
                );
                let path = &paths[*template];
                let methods = resource
                    .methods()
                    .iter()
                    .map(|method| method.as_str().to_lowercase());
                let ours: BTreeSet<String> = methods.collect();
                let known = |key: &&String| !["parameters", "summary"].contains(&key.as_str());
                let theirs: BTreeSet<String> = path
                    .as_object()
                    .expect("a path")
                    .keys()
                    .filter(known)
                    .cloned()
                    .collect();
                assert_eq!(ours, theirs, "{template}");
                for method in &ours {
                    let own = path[method]["parameters"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default();
                    let shared = path["parameters"].as_array().cloned().unwrap_or_default();
                    let names: BTreeSet<String> = (own.iter().chain(&shared))
                        .map(|parameter| resolve(&document, parameter))
                        .filter(|parameter| parameter["in"] == "query")
                        .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
                        .collect();
                    let ours: BTreeSet<String> = resource
                        .parameters()
                        .iter()
                        .map(ToString::to_string)
                        .collect();
                    assert_eq!(names, ours, "{method} {template}");
                }
            }
        }
        assert!(documented.is_empty(), "{documented:?} are not there");
    }

    fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
        let Some(reference) = value["$ref"].as_str() else {
            return value;
        };
        let pointer = reference.strip_prefix('#').expect("of this document");
        document.pointer(pointer).expect(reference)
    }

    #[test]
    fn everything_that_the_document_refers_to_is_there() {
        fn walk(document: &Value, value: &Value) {
            match value {
                Value::Object(members) => {
                    resolve(document, value);
                    members.values().for_each(|member| walk(document, member));
                }
                Value::Array(values) => values.iter().for_each(|value| walk(document, value)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(super::super::OPENAPI).expect("JSON");
        walk(&document, &document);
    }

    #[test]
    fn paths_are_decoded_and_what_is_none_is_not_there() {
        for (path, resource) in [
            ("/rules/a%20b", Resource::Rule("a b".into())),
            ("/rules/a%2Fb", Resource::Rule("a/b".into())),
            ("/users/%C3%A9/quotas", Resource::UserQuotas("é".into())),
            (
                "/blocks/192.0.2.1",
                Resource::Block("192.0.2.1/32".parse().expect("one")),
            ),
            (
                "/blocks/2001:db8::/32",
                Resource::Block("2001:db8::/32".parse().expect("one")),
            ),
            (
                "/blocks/2001:db8::%2F32",
                Resource::Block("2001:db8::/32".parse().expect("one")),
            ),
        ] {
            assert_eq!(Resource::of(path).expect(path), resource);
        }
        for path in [
            "",
            "/",
            "rules",
            "//rules",
            "/rules/",
            "/rules/a/b",
            "/users",
            "/users/ada",
            "/users/ada/quotas/a/b",
            "/rules/%ff",
            "/rules/%zz",
            "/Rules",
            "/blocks/x",
            "/blocks/1.2.3.4/33",
            "/blocks/1.2.3.4/8/8",
            "/violations/x",
            "/openapi",
            "/emergency/storm",
        ] {
            assert!(Resource::of(path).is_err(), "{path}");
        }
    }
}
