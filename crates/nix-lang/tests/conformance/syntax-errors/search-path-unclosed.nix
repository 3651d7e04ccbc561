<abc
