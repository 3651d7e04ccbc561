[ http://example.org/a?b=c&d=e#x
  mailto:a@b x:y a+b.c-d:e ]
