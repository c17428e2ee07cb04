"""What each notebook does, one module per chapter. The notebooks call these through :class:`pdk_nb.lab.Lab`."""
