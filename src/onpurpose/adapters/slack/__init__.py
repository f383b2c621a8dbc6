"""Approvals in Slack: the messages that ask and tell, and what people press in them."""

from onpurpose.adapters.slack.api import RefusedError, SlackApi
from onpurpose.adapters.slack.interactions import BusyError, Interactions
from onpurpose.adapters.slack.messenger import SlackMessenger

__all__ = ["BusyError", "Interactions", "RefusedError", "SlackApi", "SlackMessenger"]
