//! Chains of proxies, honest and forged, and the address that each must come to.

use std::convert::Infallible;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use pm_core::{ClientIp, ClientIpLayer, PeerAddr, TrustedProxies};
use tower::{Layer, ServiceExt, service_fn};

/// The lines of the header, top to bottom.
type Lines = &'static [&'static str];

fn nobody() -> TrustedProxies {
    TrustedProxies::none()
}

fn office() -> TrustedProxies {
    TrustedProxies::cidrs(["10.0.0.0/8", "2001:db8:cafe::/48", "192.0.2.1"]).expect("valid blocks")
}

fn two_hops() -> TrustedProxies {
    TrustedProxies::hops(2)
}

fn check(header: &'static str, trust: &dyn Fn() -> TrustedProxies, table: &[(&str, Lines, &str)]) {
    for (peer, lines, expected) in table {
        let mut headers = HeaderMap::new();
        for line in *lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).expect("a valid header value");
            headers.append(HeaderName::from_static(header), value);
        }
        let found = trust().client_ip(peer.parse().expect(peer), &headers);
        assert_eq!(
            found.to_string(),
            *expected,
            "{header}: {lines:?} from {peer}"
        );
    }
}

#[test]
fn nothing_is_trusted_by_default() {
    check(
        "x-forwarded-for",
        &nobody,
        &[
            ("203.0.113.9", &[], "203.0.113.9"),
            ("203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
            ("10.0.0.7", &["6.6.6.6"], "10.0.0.7"),
            ("127.0.0.1", &["6.6.6.6"], "127.0.0.1"),
            ("::1", &["6.6.6.6"], "::1"),
            ("::ffff:203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
        ],
    );
    check(
        "forwarded",
        &nobody,
        &[("10.0.0.7", &["for=6.6.6.6"], "10.0.0.7")],
    );
    check(
        "x-real-ip",
        &office,
        &[("10.0.0.7", &["6.6.6.6"], "10.0.0.7")],
    );
    check(
        "x-client-ip",
        &office,
        &[("10.0.0.7", &["6.6.6.6"], "10.0.0.7")],
    );
}

#[test]
fn trusted_blocks_and_x_forwarded_for() {
    check(
        "x-forwarded-for",
        &office,
        &[
            // Honest chains.
            ("10.0.0.7", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["203.0.113.9, 10.0.0.8"], "203.0.113.9"),
            (
                "10.0.0.7",
                &["203.0.113.9,10.0.0.8,10.0.0.9"],
                "203.0.113.9",
            ),
            ("10.0.0.7", &["203.0.113.9", "10.0.0.8"], "203.0.113.9"),
            ("10.0.0.7", &["203.0.113.9 ,\t10.0.0.8 "], "203.0.113.9"),
            ("10.0.0.7", &["203.0.113.9:51234"], "203.0.113.9"),
            ("10.0.0.7", &["2001:db8:1::5"], "2001:db8:1::5"),
            ("10.0.0.7", &["[2001:db8:1::5]:443"], "2001:db8:1::5"),
            ("10.0.0.7", &["[2001:db8:1::5]"], "2001:db8:1::5"),
            ("2001:db8:cafe::1", &["203.0.113.9"], "203.0.113.9"),
            (
                "2001:db8:cafe::1",
                &["203.0.113.9, 2001:db8:cafe:1::2"],
                "203.0.113.9",
            ),
            ("192.0.2.1", &["203.0.113.9"], "203.0.113.9"),
            // Everybody is one of ours: the furthest is the client.
            ("10.0.0.7", &["10.0.0.8"], "10.0.0.8"),
            ("10.0.0.7", &["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
            ("10.0.0.7", &[], "10.0.0.7"),
            // Mapped addresses are folded, wherever they stand.
            ("::ffff:10.0.0.7", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["203.0.113.9, ::ffff:10.0.0.8"], "203.0.113.9"),
            (
                "10.0.0.7",
                &["[::ffff:203.0.113.9]:80, ::ffff:a00:8"],
                "203.0.113.9",
            ),
            // A compatible address (deprecated) is not a mapped one, and not ours.
            ("10.0.0.7", &["6.6.6.6, ::10.0.0.8"], "::a00:8"),
            // The peer is not ours: not a word is believed.
            ("203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
            ("203.0.113.9", &["10.0.0.8"], "203.0.113.9"),
            ("203.0.113.9", &["6.6.6.6, 10.0.0.8"], "203.0.113.9"),
            ("192.0.2.2", &["6.6.6.6"], "192.0.2.2"),
            ("2001:db8:cafd::1", &["6.6.6.6"], "2001:db8:cafd::1"),
            // The client wrote something first; our proxy appended the truth.
            ("10.0.0.7", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.7",
                &["6.6.6.6, 203.0.113.9, 10.0.0.8"],
                "203.0.113.9",
            ),
            (
                "10.0.0.7",
                &["6.6.6.6, 10.0.0.1", "203.0.113.9, 10.0.0.8"],
                "203.0.113.9",
            ),
            ("10.0.0.7", &[",,,, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["\"6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["for=6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["é, 203.0.113.9"], "203.0.113.9"),
            // Garbage ends the walk at the last address that a proxy of ours vouches for.
            ("10.0.0.7", &["garbage"], "10.0.0.7"),
            ("10.0.0.7", &[""], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, "], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6,, 10.0.0.8"], "10.0.0.8"),
            ("10.0.0.7", &["6.6.6.6", "", "10.0.0.8"], "10.0.0.8"),
            ("10.0.0.7", &["6.6.6.6, unknown, 10.0.0.8"], "10.0.0.8"),
            ("10.0.0.7", &["6.6.6.6, unknown"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113.999"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113.09"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 0x0a.0.0.1"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 3405803785"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113.9:"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113.9:99999"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, [203.0.113.9]"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, [2001:db8::1"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, fe80::1%eth0"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6, \"203.0.113.9\""], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6 203.0.113.9"], "10.0.0.7"),
            ("10.0.0.7", &["6.6.6.6;203.0.113.9"], "10.0.0.7"),
        ],
    );
}

#[test]
fn a_number_of_hops() {
    check(
        "x-forwarded-for",
        &two_hops,
        &[
            (
                "198.51.100.1",
                &["203.0.113.9, 198.51.100.2"],
                "203.0.113.9",
            ),
            (
                "198.51.100.1",
                &["6.6.6.6, 203.0.113.9, 198.51.100.2"],
                "203.0.113.9",
            ),
            (
                "198.51.100.1",
                &["6.6.6.6", "203.0.113.9", "198.51.100.2"],
                "203.0.113.9",
            ),
            ("198.51.100.1", &["203.0.113.9"], "203.0.113.9"),
            ("198.51.100.1", &[], "198.51.100.1"),
            ("198.51.100.1", &["6.6.6.6, , 198.51.100.2"], "198.51.100.2"),
            ("198.51.100.1", &["6.6.6.6, unknown"], "198.51.100.1"),
        ],
    );
    check(
        "x-forwarded-for",
        &|| TrustedProxies::hops(0),
        &[("198.51.100.1", &["6.6.6.6"], "198.51.100.1")],
    );
    check(
        "x-forwarded-for",
        &|| office().with_hops(1),
        &[
            ("10.0.0.7", &["203.0.113.9, 10.0.0.8"], "10.0.0.8"),
            ("10.0.0.7", &["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            ("203.0.113.9", &["6.6.6.6"], "203.0.113.9"),
        ],
    );
}

#[test]
fn forwarded_of_rfc_7239() {
    let forwarded = || office().with_forwarded();
    check(
        "forwarded",
        &forwarded,
        &[
            ("10.0.0.7", &["for=203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.7",
                &["For=203.0.113.9;proto=https;by=10.0.0.7"],
                "203.0.113.9",
            ),
            (
                "10.0.0.7",
                &["proto=https; FOR = \"203.0.113.9:80\""],
                "203.0.113.9",
            ),
            (
                "10.0.0.7",
                &["for=\"[2001:db8:1::5]:4711\""],
                "2001:db8:1::5",
            ),
            (
                "10.0.0.7",
                &["for=203.0.113.9, for=10.0.0.8"],
                "203.0.113.9",
            ),
            (
                "10.0.0.7",
                &["for=203.0.113.9", "for=10.0.0.8"],
                "203.0.113.9",
            ),
            ("10.0.0.7", &["for=\"203.0.113.9:_gate\""], "203.0.113.9"),
            (
                "10.0.0.7",
                &["for=203.0.113.9;host=\"a,b;for=6.6.6.6\""],
                "203.0.113.9",
            ),
            (
                "10.0.0.7",
                &["for=203.0.113.9;host=\"a\\\",for=6.6.6.6\""],
                "203.0.113.9",
            ),
            ("10.0.0.7", &["for=6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
            (
                "10.0.0.7",
                &["for=\"6.6.6.6, for=203.0.113.9"],
                "203.0.113.9",
            ),
            ("10.0.0.7", &["host=\", for=203.0.113.9"], "203.0.113.9"),
            ("10.0.0.7", &["for=6.6.6.6, for=unknown"], "10.0.0.7"),
            ("10.0.0.7", &["for=6.6.6.6, for=_hidden"], "10.0.0.7"),
            ("10.0.0.7", &["for=6.6.6.6, by=10.0.0.7"], "10.0.0.7"),
            (
                "10.0.0.7",
                &["for=6.6.6.6, for=1.1.1.1;for=2.2.2.2"],
                "10.0.0.7",
            ),
            ("10.0.0.7", &["for=6.6.6.6, 203.0.113.9"], "10.0.0.7"),
            ("10.0.0.7", &["for=6.6.6.6, for=\"203.0.113.9"], "10.0.0.7"),
            ("10.0.0.7", &["for=6.6.6.6,"], "10.0.0.7"),
            ("203.0.113.9", &["for=6.6.6.6"], "203.0.113.9"),
        ],
    );
    // Only one of the two headers is ever read.
    check(
        "x-forwarded-for",
        &forwarded,
        &[("10.0.0.7", &["6.6.6.6"], "10.0.0.7")],
    );
    check(
        "forwarded",
        &office,
        &[("10.0.0.7", &["for=6.6.6.6"], "10.0.0.7")],
    );
}

#[test]
fn a_chain_without_end_is_not_walked_to_its_end() {
    let mut headers = HeaderMap::new();
    let ours = vec!["10.0.0.8"; 1000].join(",");
    let line = format!("6.6.6.6,{ours}");
    headers.insert("x-forwarded-for", line.parse().expect("a valid value"));
    let found = office().client_ip([10, 0, 0, 7].into(), &headers);
    assert_eq!(found.to_string(), "10.0.0.8");
}

#[tokio::test]
async fn the_layer_needs_to_know_the_peer() {
    let service = ClientIpLayer::new(office()).layer(service_fn(async |request: Request<()>| {
        Ok::<_, Infallible>(request.extensions().get::<ClientIp>().copied())
    }));
    let request = |peer: Option<&str>| {
        let mut request = Request::new(());
        request
            .headers_mut()
            .insert("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        if let Some(peer) = peer {
            request
                .extensions_mut()
                .insert(PeerAddr(peer.parse().expect(peer)));
        }
        request
    };
    let client = service
        .clone()
        .oneshot(request(Some("10.0.0.7:1")))
        .await
        .expect("infallible");
    assert_eq!(
        client.map(|client| client.to_string()).as_deref(),
        Some("203.0.113.9")
    );
    assert_eq!(
        service.oneshot(request(None)).await.expect("infallible"),
        None
    );
}
