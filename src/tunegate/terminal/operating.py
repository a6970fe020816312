"""What commands for operators share: they end with 0, 1 (it can't be done, or is not in order) or 2 (settings, files)."""

from collections.abc import Generator
from contextlib import contextmanager

from tunegate.control.keyring import KeyFileUnsafe
from tunegate.control.store.errors import StoreUnsafe
from tunegate.sdk.errors import TunegateError
from tunegate.settings import SettingsError
from tunegate.terminal.exits import ExitCode
from tunegate.terminal.failures import Failure


@contextmanager
def trouble_told() -> Generator[None]:
    """Trouble with settings, files and the store becomes a Failure."""
    try:
        yield
    except SettingsError as error:
        raise Failure(error.problems, ExitCode.USAGE) from None
    except StoreUnsafe as unsafe:
        raise Failure(str(unsafe)) from None
    except TunegateError as error:
        raise Failure(error.detail) from None
    except BrokenPipeError:
        raise
    except (KeyFileUnsafe, OSError, ValueError) as error:
        raise Failure(str(error), ExitCode.USAGE) from None
