"""What a model may say of a cause: prose, and nothing that is acted upon."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Prose = Annotated[str, Field(min_length=1, max_length=700)]
Step = Annotated[str, Field(min_length=1, max_length=400)]


class Narrative(BaseModel):
    """``duplicates`` are references out of the given list of other open problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    risk: Prose = Field(description="What can happen, for a person who knows no security words; two sentences at most")
    root_cause: Prose = Field(description="The one thing that most likely led to all of these findings")
    exploitability: Prose = Field(description="How hard it is to use, argued from the given circumstances only")
    steps: tuple[Step, ...] = Field(min_length=1, max_length=8, description="What the owner does, in order")
    duplicates: tuple[str, ...] = Field((), max_length=5, description="Refs of other open problems that look the same")

    def texts(self) -> tuple[str, ...]:
        return (self.risk, self.root_cause, self.exploitability, *self.steps)
