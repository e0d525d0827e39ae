"""What to do about Vertex AI's refusals, which Google tells in words that only its consoles explain."""

from __future__ import annotations

from typing import Final

from llmgw.errors import UpstreamError
from llmgw_logins.adc import ADVICE

_REASONS: Final = {
    "SERVICE_DISABLED": "Run: gcloud services enable aiplatform.googleapis.com --project {project}",
    "BILLING_DISABLED": "Link a billing account to the project {project}: https://console.cloud.google.com/billing/projects",
    "IAM_PERMISSION_DENIED": "Give the account the role Vertex AI User (roles/aiplatform.user) in the project {project}.",
    "USER_PROJECT_DENIED": (
        "The quota project of your credentials is not one that you may use. Run: "
        "gcloud auth application-default set-quota-project {project}"
    ),
    "CONSUMER_INVALID": "There is no project '{project}', or it was deleted: `project` must be its id, not its number or name.",
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": f"This is no key for Vertex AI: leave it out. {ADVICE}",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": ADVICE,
    "API_KEY_INVALID": f"Make a key of Vertex AI's express mode, or leave it out. {ADVICE}",
}
"""By ``ErrorInfo.reason`` (https://cloud.google.com/apis/design/errors)."""


def advice(error: UpstreamError, project: str, location: str) -> str:
    """What to do; nothing where nobody knows.

    Args:
        error: Vertex AI's.
        project: that was asked.
        location: of it.
    """
    if error.code in _REASONS:
        return _REASONS[error.code].format(project=project or "PROJECT")
    match error.kind:
        case "authentication":
            return ADVICE
        case "permission":
            return _REASONS["IAM_PERMISSION_DENIED"].format(project=project or "PROJECT")
        case "model_not_found" | "not_found":
            other = "another `location` of the back-end" if location == "global" else "`location: global` of the back-end"
            return (
                f"Not every model is in every location ('{location}'): try {other}. Claude and open models must be enabled in "
                "the Model Garden first; open models are named with their publisher, as meta/llama-3.3-70b-instruct-maas."
            )
        case "rate_limited" if location != "global":
            return "Other locations may have room: try `location: global` of the back-end."
        case _:
            return ""
