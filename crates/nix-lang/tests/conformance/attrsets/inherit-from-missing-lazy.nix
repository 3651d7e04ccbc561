{ inherit ({ a = 1; }) b; c = 1; }.c
