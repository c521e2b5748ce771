/** The id that the manifest's key fixes. */
export const EXTENSION_ID = "doggpnogehmihcamhdfbemikhhhaibda";
