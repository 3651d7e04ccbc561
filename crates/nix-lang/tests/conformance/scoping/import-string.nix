import (toString ./data/number.nix)
