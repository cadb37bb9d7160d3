"""What `policies/` says: the registered variants, and which repositories a tenant may have researched."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dispatcher.action.decision import PathName, Variant
from dispatcher.errors import InvalidPolicy

DEFAULT_VARIANT = "legacy"
"""The variant of every action that nothing moves, and the one that every brake leads to."""

FEATURE_FILE = "agent_research.yml"
REPOSITORIES_FILE = "repositories.yml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def _variable(name: str) -> str:
    # A token pasted in place of the variable's name must not come back in the message.
    if not (name.isascii() and name.isidentifier() and name.isupper()):
        raise PydanticCustomError("variable", "is not the name of an environment variable; a token never stands here")
    return name


class _VariantDefinition(_Strict):
    path: PathName = Field(strict=False)  # strict, it would take no text
    model: str = Field(min_length=1)
    iteration_cap: int = Field(ge=1)
    max_tokens: int = Field(ge=1)
    deadline_s: float = Field(gt=0, allow_inf_nan=False)
    prompt_caching: bool = False

    @model_validator(mode="after")
    def _caching_is_ours(self) -> _VariantDefinition:
        if self.prompt_caching and self.path is PathName.MANAGED:
            raise PydanticCustomError(
                "caching", "prompt_caching is of the messages path only; the platform caches itself"
            )
        return self


class _FeaturePolicy(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    feature: Literal["agent_research"]
    flag: str = Field(pattern=r"^[A-Za-z0-9._~-]{1,100}$")
    variants: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")], _VariantDefinition]

    @model_validator(mode="after")
    def _default_is_registered(self) -> _FeaturePolicy:
        default = self.variants.get(DEFAULT_VARIANT)
        if default is None or default.path is not PathName.MESSAGES:
            raise PydanticCustomError(
                "default", "variants.legacy must be registered, on the messages path: every brake leads to it"
            )
        return self


_Address = Annotated[str, Field(pattern=r"^https://github\.com/[A-Za-z0-9-]+/[A-Za-z0-9._-]+$")]


class _RepositoriesPolicy(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    tenants: dict[Annotated[str, Field(min_length=1)], dict[_Address, Annotated[str, AfterValidator(_variable)] | None]]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policies in force; read once.

    `variants` are the registered variants by name, `flag` is the flag that chooses among them, and `repositories` maps
    a tenant to its repositories' addresses on GitHub, each with the name of the environment variable that holds its
    read-only token, or None for a public repository.
    """

    feature: str
    flag: str
    variants: Mapping[str, Variant]
    repositories: Mapping[str, Mapping[str, str | None]]

    @classmethod
    def load(cls, directory: Path) -> Policies:
        """Read a policies directory. Raises InvalidPolicy with every problem of every file at once."""
        problems: list[str] = []
        feature = _read(directory / FEATURE_FILE, _FeaturePolicy, problems)
        repositories = _read(directory / REPOSITORIES_FILE, _RepositoriesPolicy, problems)
        if feature is None or repositories is None:
            raise InvalidPolicy(str(directory), problems)
        variants = {name: Variant(name=name, **dict(definition)) for name, definition in feature.variants.items()}
        return cls(feature=feature.feature, flag=feature.flag, variants=variants, repositories=repositories.tenants)

    @property
    def default(self) -> Variant:
        """The variant `legacy`."""
        return self.variants[DEFAULT_VARIANT]

    def repository_allowed(self, tenant: str, github_url: str) -> bool:
        """Whether the tenant may have this repository researched."""
        return github_url in self.repositories.get(tenant, {})

    def token_variable(self, tenant: str, github_url: str) -> str | None:
        """The environment variable with an allowed repository's read-only token; None where it is public."""
        return self.repositories[tenant][github_url]


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without the silent "the last of two equal keys wins"."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands here twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Model = TypeVar("_Model", bound=BaseModel)


def _read(path: Path, model: type[_Model], problems: list[str]) -> _Model | None:
    """The validated file, or None after adding what is wrong with it to `problems`."""
    try:
        content = yaml.load(path.read_bytes().decode(), Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
        return model.model_validate(content)
    except FileNotFoundError:
        problems.append(f"{path.name}: no such file; set DISPATCHER_POLICIES_DIR to the directory that holds it")
    except OSError as error:
        problems.append(f"{path.name}: can't be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.append(f"{path.name}: is not UTF-8 text")
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problems.append(f"{path.name}: {line}{error.problem}")
    except yaml.YAMLError as error:
        problems.append(f"{path.name}: is not YAML: {error}")
    except ValidationError as error:
        problems += [f"{path.name}: {_place(e['loc'])}{e['msg']}" for e in error.errors(include_input=False)]
    return None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]") + ": " if location else ""
