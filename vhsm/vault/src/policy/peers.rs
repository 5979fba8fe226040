use crate::Peer;

/// Which peers a rule is about: every stated condition has to hold, and at least one has to be
/// stated. A match that states nothing is about nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerMatch {
    /// The peer's user.
    pub uid: Option<u32>,
    /// The peer's user, stated by name and resolved by the configuration.
    pub user: Option<u32>,
    /// The peer's primary group.
    pub gid: Option<u32>,
    /// The peer's primary or any supplementary group, stated by name and resolved likewise.
    pub group: Option<u32>,
    /// The system unit in which the peer runs, such as `nginx.service`.
    pub unit: Option<String>,
    /// A folder of the cgroup tree, such as `/system.slice`, in or below which the peer runs.
    pub cgroup_prefix: Option<String>,
    /// SHA-256 of the peer's program file. A hint: whoever may run the program may make it load
    /// other code (`LD_PRELOAD`, a debugger, its own arguments), so it never stands alone.
    pub executable_digest: Option<[u8; 32]>,
    /// Holds only on connections where every message is checked to come from the process that
    /// connected. No condition by itself.
    pub per_message: bool,
}

/// What some rule would like to know of a peer that costs more than asking who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The digest of the program that it runs.
    pub executable_digest: bool,
    /// That every message of its connection comes from itself.
    pub per_message: bool,
}

impl PeerMatch {
    /// Whether any condition is stated.
    pub fn states_anything(&self) -> bool {
        let Self {
            uid,
            user,
            gid,
            group,
            unit,
            cgroup_prefix,
            executable_digest,
            per_message: _,
        } = self;
        uid.is_some()
            || user.is_some()
            || gid.is_some()
            || group.is_some()
            || unit.is_some()
            || cgroup_prefix.is_some()
            || executable_digest.is_some()
    }

    /// Whether it rests on the program file alone, which whoever may run it can bend.
    pub(crate) fn is_only_a_hint(&self) -> bool {
        let without = Self {
            executable_digest: None,
            ..self.clone()
        };
        self.executable_digest.is_some() && !without.states_anything()
    }

    /// What it takes to know whether it is about `peer`, where everything else of it holds.
    pub(crate) fn asks_about(&self, peer: &Peer) -> Asked {
        let seen_closely = Peer {
            executable_digest: self.executable_digest,
            per_message: true,
            ..peer.clone()
        };
        if !self.matches(&seen_closely) {
            return Asked::default();
        }
        Asked {
            executable_digest: self.executable_digest.is_some(),
            per_message: self.per_message,
        }
    }

    /// The first condition that `peer` does not meet, for people; `None` where it is about the
    /// peer.
    pub(crate) fn unmet(&self, peer: &Peer) -> Option<String> {
        if self.matches(peer) {
            return None;
        }
        let alone = |one: Self| !one.matches(peer);
        let only = Self::default;
        let known =
            |text: Option<&str>| text.map_or("unknown".to_owned(), |text| format!("{text:?}"));
        // No user and no group has this number: whoever asks how it would be said none.
        let number = |id: u32| match id {
            u32::MAX => "unknown".to_owned(),
            id => id.to_string(),
        };
        let by_uid = [self.uid, self.user].into_iter().flatten();
        if let Some(uid) = by_uid.into_iter().find(|uid| *uid != peer.uid) {
            return Some(format!("its user is {}, not {uid}", number(peer.uid)));
        }
        if let Some(gid) = self.gid.filter(|gid| *gid != peer.gid) {
            return Some(format!(
                "its primary group is {}, not {gid}",
                number(peer.gid)
            ));
        }
        if let Some(gid) = self.group
            && alone(Self {
                group: Some(gid),
                ..only()
            })
        {
            return Some(format!("it is not in group {gid}"));
        }
        if let Some(unit) = &self.unit
            && peer.unit.as_ref() != Some(unit)
        {
            let found = known(peer.unit.as_deref());
            return Some(format!("its system unit is {found}, not {unit:?}"));
        }
        if let Some(prefix) = &self.cgroup_prefix
            && alone(Self {
                cgroup_prefix: Some(prefix.clone()),
                ..only()
            })
        {
            let found = known(peer.cgroup.as_deref());
            return Some(format!("its cgroup is {found}, not below {prefix:?}"));
        }
        if self.executable_digest.is_some() && self.executable_digest != peer.executable_digest {
            return Some(match peer.executable_digest {
                Some(_) => "its program is another".into(),
                None => "its program was not, or could not be, read".into(),
            });
        }
        if self.per_message && !peer.per_message {
            return Some("its messages are not checked one by one; it has to connect anew".into());
        }
        Some("the entry states no condition".into())
    }

    /// Whether it is about `peer`. What is not known of a peer does not match.
    pub fn matches(&self, peer: &Peer) -> bool {
        // Taken apart by name, so that a new condition cannot be forgotten here.
        let Self {
            uid,
            user,
            gid,
            group,
            unit,
            cgroup_prefix,
            executable_digest,
            per_message,
        } = self;
        self.states_anything()
            && uid.is_none_or(|uid| uid == peer.uid)
            && user.is_none_or(|uid| uid == peer.uid)
            && gid.is_none_or(|gid| gid == peer.gid)
            && group.is_none_or(|gid| gid == peer.gid || peer.groups.contains(&gid))
            && unit
                .as_ref()
                .is_none_or(|unit| peer.unit.as_ref() == Some(unit))
            && cgroup_prefix.as_ref().is_none_or(|prefix| {
                peer.cgroup
                    .as_deref()
                    .is_some_and(|path| is_in_or_below(path, prefix))
            })
            && executable_digest.is_none_or(|digest| peer.executable_digest == Some(digest))
            && (!per_message || peer.per_message)
    }
}

/// Folder by folder: `/a/b` is below `/a`, `/ab` is not. A prefix that is not absolute holds
/// nothing.
fn is_in_or_below(path: &str, prefix: &str) -> bool {
    prefix.starts_with('/')
        && path
            .strip_prefix(prefix.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer {
            uid: 1000,
            gid: 100,
            groups: vec![27, 44],
            pid: 1,
            unit: Some("web.service".into()),
            cgroup: Some("/system.slice/web.service".into()),
            executable_digest: Some([7; 32]),
            per_message: true,
        }
    }

    #[test]
    fn a_match_that_states_nothing_is_about_nobody() {
        assert!(!PeerMatch::default().matches(&peer()));
        // Who sends a message is no condition on who that is.
        let per_message = PeerMatch {
            per_message: true,
            ..PeerMatch::default()
        };
        assert!(!per_message.matches(&peer()));
    }

    #[test]
    fn every_stated_condition_has_to_hold() {
        let all = PeerMatch {
            uid: Some(1000),
            user: Some(1000),
            gid: Some(100),
            group: Some(44),
            unit: Some("web.service".into()),
            cgroup_prefix: Some("/system.slice".into()),
            executable_digest: Some([7; 32]),
            per_message: true,
        };
        assert!(all.matches(&peer()));
        let unchecked = Peer {
            per_message: false,
            ..peer()
        };
        assert!(!all.matches(&unchecked));
        let broken: [fn(&mut PeerMatch); 7] = [
            |m| m.uid = Some(0),
            |m| m.user = Some(0),
            |m| m.gid = Some(44),
            |m| m.group = Some(4),
            |m| m.unit = Some("web".into()),
            |m| m.cgroup_prefix = Some("/system".into()),
            |m| m.executable_digest = Some([8; 32]),
        ];
        for (index, breaks) in broken.into_iter().enumerate() {
            let mut one_wrong = all.clone();
            breaks(&mut one_wrong);
            assert!(!one_wrong.matches(&peer()), "condition {index}");
        }
    }

    #[test]
    fn a_group_may_be_primary_or_supplementary() {
        for gid in [100, 27, 44] {
            let group = PeerMatch {
                group: Some(gid),
                ..PeerMatch::default()
            };
            assert!(group.matches(&peer()));
        }
    }

    #[test]
    fn what_is_unknown_of_a_peer_does_not_match() {
        let unknown = Peer {
            unit: None,
            cgroup: None,
            executable_digest: None,
            ..peer()
        };
        for stated in [
            PeerMatch {
                unit: Some("web.service".into()),
                ..PeerMatch::default()
            },
            PeerMatch {
                cgroup_prefix: Some("/".into()),
                ..PeerMatch::default()
            },
            PeerMatch {
                executable_digest: Some([7; 32]),
                ..PeerMatch::default()
            },
        ] {
            assert!(stated.matches(&peer()));
            assert!(!stated.matches(&unknown));
        }
    }

    #[test]
    fn a_cgroup_prefix_ends_at_a_folder() {
        for (prefix, holds) in [
            ("/system.slice", true),
            ("/system.slice/", true),
            ("/system.slice/web.service", true),
            ("/", true),
            ("/system.slice/web", false),
            ("/system", false),
            ("", false),
            ("system.slice", false),
        ] {
            assert_eq!(
                is_in_or_below("/system.slice/web.service", prefix),
                holds,
                "{prefix}"
            );
        }
    }
}
