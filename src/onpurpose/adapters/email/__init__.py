"""Mail: requests for approval, and what became of them, by SMTP with TLS."""

from onpurpose.adapters.email.sending import MailServer, SmtpMessenger

__all__ = ["MailServer", "SmtpMessenger"]
