//! What `http-probe` has already seen of a target, for plugins that would ask the same again.

use std::rc::Rc;

use crate::scan::fetch::{FetchErrorKind, Response};
use crate::scan::plugin::Earlier;

/// What is known of a target before a plugin asks anything itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Probed {
    /// Nothing: the probe is not part of the scan, has failed, or its answer was not kept (a resumed scan).
    Unknown,
    /// Nobody answers.
    Unreachable,
    /// Somebody answers, and CORS keeps the answer from this page.
    Hidden,
    /// This is the answer.
    Answered(Rc<Response>),
}

impl Probed {
    /// What the probe of this target has found.
    pub(super) fn of(earlier: &Earlier) -> Self {
        let Some(outcome) = earlier.outcome("http-probe") else {
            return Self::Unknown;
        };
        let details = &outcome.details;
        match &outcome.response {
            Some(response) => Self::Answered(Rc::clone(response)),
            None if details["errorKind"] == FetchErrorKind::BlockedByCors.name() => Self::Hidden,
            None if details["reachable"] == false => Self::Unreachable,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::future::VirtualRuntime;
    use crate::scan::fake::{Answer, FakeFetcher};
    use crate::scan::fetch::{Capabilities, HeaderView};
    use crate::scan::plugin::{Context, Plugin};
    use crate::scan::plugins::http_probe::HttpProbe;
    use crate::scan::target::Entry;
    use core::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn probed(script: impl Fn(bool) -> Answer + 'static) -> Earlier {
        let runtime = VirtualRuntime::new();
        let network = FakeFetcher::new(Rc::new(runtime.clone())).with_capabilities(Capabilities::BROWSER);
        network.on("https://a.test/", move |request| {
            script(request.visibility == crate::scan::fetch::Visibility::OpaqueIsEnough)
        });
        let ctx = Context::new(Rc::new(network), Rc::new(runtime.clone()));
        let target = Entry::parse("https://a.test/").unwrap().targets().next().unwrap();
        let mut earlier = Earlier::default();
        let probe = HttpProbe::new(1, Duration::from_secs(1));
        let outcome = runtime.block_on(probe.run(&target, &ctx, &earlier)).unwrap();
        earlier.add("http-probe", Rc::new(outcome));
        earlier
    }

    #[test]
    fn what_the_probe_says_is_read_back() {
        let refused = || Answer::error(FetchErrorKind::Network, "failed to fetch");
        assert_eq!(Probed::of(&Earlier::default()), Probed::Unknown);
        assert_eq!(Probed::of(&probed(move |_| refused())), Probed::Unreachable);
        let hidden = probed(move |opaque| {
            if opaque {
                Answer::status(0).view(HeaderView::Opaque)
            } else {
                refused()
            }
        });
        assert_eq!(Probed::of(&hidden), Probed::Hidden);
        let answered = probed(|_| Answer::status(200));
        assert!(matches!(Probed::of(&answered), Probed::Answered(response) if response.status == 200));
        let mut resumed = Earlier::default();
        let mut outcome = answered.outcome("http-probe").unwrap().clone();
        outcome.response = None;
        resumed.add("http-probe", Rc::new(outcome));
        assert_eq!(Probed::of(&resumed), Probed::Unknown);
    }
}
