"""Options -> who may come in: what signs people in to the dashboard of a service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from onpurpose.adapters.one_time_codes import TotpCodes
from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.engine import Store
from onpurpose.adapters.sql.sign_ins import SqlCredentials, SqlIdentities, SqlSessions
from onpurpose.app.first_person import FirstPerson
from onpurpose.app.keys import OPERATOR, Keyring
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.app.proofs import Means, Proofs
from onpurpose.app.sessions import SignedIn
from onpurpose.app.sign_in import SignIn
from onpurpose.app.single_sign_on import Linking, Mapped, SingleSignOn
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import ApiKey, Role
from onpurpose.core.errors import OnPurposeError
from onpurpose.ports import Clock, Ledger, Vault
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.identity import Authority
from onpurpose.sign_in_ports import IdentityProvider

PREFIX = "ONPURPOSE_OIDC_"


def sign_ins(  # noqa: PLR0913  what it stands on
    store: Store,
    *,
    access: SqlAccess,
    keyring: Keyring,
    post: Post,
    ledger: Ledger,
    authority: Authority,
    vault: Vault,
    secret: str,
    masking: Masking,
    environment: Mapping[str, str],
    clock: Clock,
    new_id: Callable[[int], str],
) -> Sessions:
    """Who may come in, and how. `secret` is the install's. Raises `OnPurposeError` for an unfit environment."""
    means = Means(
        credentials=SqlCredentials(store), passwords=Argon2Passwords(), codes=TotpCodes(), vault=vault, clock=clock,
        new_id=new_id,
    )  # fmt: skip
    proofs, away = Proofs(means), TurnedAway(ledger, masking, clock=clock, new_id=new_id)
    own = OwnProofs(means, proofs, post, secret=secret, people=access.users)

    def find_key(text: str) -> ApiKey | None:
        found = authority.find(text, clock.now())
        return found if isinstance(found, ApiKey) else None

    linking = Linking(SqlIdentities(store), post, clock=clock, new_id=new_id)
    provider, mapped = provider_of(environment), mapped_of(environment)
    elsewhere = None
    if provider is not None:
        elsewhere = SingleSignOn(provider, mapped, keyring, linking, away=away, vault=vault, clock=clock)
    return Sessions(
        SignedIn(SqlSessions(store), post, people=access.users, clock=clock, new_id=new_id),
        sign_in=SignIn(means, proofs, post, away, people=access.users),
        own=own,
        first=FirstPerson(keyring, own, find_key=find_key, alone=store.alone),
        linking=linking,
        elsewhere=elsewhere,
        public_url=environment.get("ONPURPOSE_PUBLIC_URL", ""),
    )


def provider_of(environment: Mapping[str, str]) -> IdentityProvider | None:
    """The service that says who people are, where the environment names one. Raises `OnPurposeError`."""
    issuer, client_id, client_secret = (environment.get(PREFIX + name, "") for name in _NEEDED)
    if not issuer:
        return None
    if not client_id or not client_secret:
        raise OnPurposeError(f"signing in elsewhere needs {', '.join(PREFIX + name for name in _NEEDED)}")
    try:
        from onpurpose.adapters.oidc import OidcProvider  # noqa: PLC0415  of the extra `oidc`
    except ModuleNotFoundError as error:
        raise OnPurposeError(f"`{error.name}` is not installed\nhelp: pip install 'onpurpose[oidc]'") from error
    return OidcProvider(issuer, client_id, client_secret)


def mapped_of(environment: Mapping[str, str]) -> Mapped:
    """How what the provider says is taken. Raises `OnPurposeError`."""
    text = environment.get(f"{PREFIX}ROLES", "")
    return Mapped(
        workspace=environment.get(f"{PREFIX}WORKSPACE", "") or OPERATOR,
        groups_claim=environment.get(f"{PREFIX}GROUPS_CLAIM", "") or "groups",
        roles=_roles(text) if text else None,
        creates=environment.get(f"{PREFIX}CREATE", "").lower() in {"1", "yes", "true"},
    )


_NEEDED = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET")


def _roles(text: str) -> dict[str, frozenset[Role]]:
    try:
        given = orjson.loads(text)
        return {
            group: frozenset(map(Role, [names] if isinstance(names, str) else names)) for group, names in given.items()
        }
    except (ValueError, TypeError, AttributeError):
        known = ", ".join(Role)
        raise OnPurposeError(
            f'{PREFIX}ROLES maps groups to roles ({known}), as in {{"risk": "approver", "platform": ["author"]}}'
        ) from None
